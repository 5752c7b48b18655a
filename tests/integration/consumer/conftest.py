"""Consumer processes on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.notify import NotifySocket
from ops.sandbox.shared import SharedKafka
from tests.labs.brokers import Broker, SpareKafka
from tests.labs.consumer_bench import ConsumerBench, MakeBench


@pytest.fixture
def bench_of(tmp_path: Path) -> Iterator[MakeBench]:
    """Make the topics of a test on a broker: `bench_of(broker, partitions=4)`."""
    benches: list[ConsumerBench] = []

    def make(
        broker: Broker, name: str = "relay", partitions: int = 4, config: dict[str, str] | None = None
    ) -> ConsumerBench:
        unique = broker.unique(name) if isinstance(broker, SharedKafka | SpareKafka) else name
        directory = tmp_path / unique
        directory.mkdir()
        bench = ConsumerBench(broker.bootstrap, unique, directory, partitions)
        broker.create_topics({bench.source: partitions, bench.target: partitions}, config)
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        bench.close()


@pytest.fixture
def notify() -> Iterator[NotifySocket]:
    """The manager's end of the readiness socket."""
    with NotifySocket() as opened:
        yield opened
