"""`inv produce`: messages from a file, or made up, sent and acknowledged."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ops.core.amounts import in_seconds, named
from ops.core.errors import OpsError, UnreachableError, UsageError

_FLUSH_SECONDS = 30.0
_TOPIC_SECONDS = 5.0


def produce(topic: str, count: int, file: str) -> int:
    """Send messages and wait until all are acknowledged; gives how many.

    Parameters
    ----------
    count : how many; of a file that has fewer lines, it is gone through again. 0: one, or each line once.
    file : a message a line; `-` for standard input; empty for JSON objects with an id
        and a sequence number, as the bundled apps take them.

    Raises
    ------
    UsageError : the count is negative, the file cannot be read or is empty.
    OpsError : the brokers cannot be reached, or a message was not acknowledged.
    """
    from kafka import KafkaProducer
    from kafka.errors import KafkaError

    from ops.consumer.client import producer_options
    from ops.consumer.settings import ConsumerSettings
    from ops.core.brokers import CONNECT_SECONDS, REFUSED_SECONDS

    if count < 0:
        raise UsageError(f"expected a number of messages, got {count}", where="--count")
    messages = _messages(count, file)
    settings = ConsumerSettings.from_environment(os.environ)
    settings.brokers.wait(CONNECT_SECONDS, refused_seconds=REFUSED_SECONDS)
    options = producer_options(settings, "karafka-ops-produce")
    limits = {"max_block_ms": int(_TOPIC_SECONDS * 1000), "bootstrap_timeout_ms": int(CONNECT_SECONDS * 1000)}
    try:
        producer = KafkaProducer(**options | limits)
    except KafkaError as error:
        raise UnreachableError(named(error), where=str(settings.brokers)) from error
    try:
        _require(producer, topic)
        receipts = [producer.send(topic, message) for message in messages]
        producer.flush(timeout=_FLUSH_SECONDS)
        for receipt in receipts:
            receipt.get(timeout=_FLUSH_SECONDS)
    except KafkaError as error:
        raise OpsError(named(error), where=topic) from error
    finally:
        producer.close(timeout=5)
    return len(receipts)


def _require(producer: Any, topic: str) -> None:
    """Refuse a topic that the cluster does not have; the client waits for its metadata and then times out."""
    from kafka.errors import KafkaTimeoutError

    try:
        found = producer.partitions_for(topic)
    except KafkaTimeoutError:
        found = None
    if not found:
        raise OpsError(
            f"the cluster does not have this topic after {in_seconds(_TOPIC_SECONDS)}",
            where=topic,
            hint="inv topics.apply makes those of an app and of the settings",
        )


def _messages(count: int, file: str) -> Iterator[bytes]:
    if not file:
        return (json.dumps({"id": f"r{number % 10}", "sequence": number}).encode() for number in range(count or 1))
    try:
        data = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(error.strerror or str(error), where=file) from None
    lines = data.splitlines()
    if not lines:
        raise UsageError("it is empty: nothing to send", where=file)
    return (lines[number % len(lines)] for number in range(count or len(lines)))
