"""The same with FastStream on confluent-kafka; runs in the peers' own venv, which does not have this project."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker

broker = KafkaBroker(os.environ["KARAFKA_BROKERS"], acks="all")
app = FastStream(broker)


@broker.subscriber(
    os.environ["BENCH_SOURCE"],
    group_id=os.environ["BENCH_GROUP"],
    auto_offset_reset="earliest",
    ack_policy=AckPolicy.ACK_FIRST,
)
@broker.publisher(os.environ["BENCH_TARGET"])
async def handle(params: dict[str, Any]) -> dict[str, Any]:
    """Send it on."""
    return params


asyncio.run(app.run())
