"""Consumer processes on a real broker, with topics of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from ops.core.deadline import Deadline
from tests.labs.brokers import Broker

PROGRAMS = Path(__file__).with_name("programs")
RUN = "import sys; from ops.consumer.main import run_server; sys.exit(run_server(sys.argv[1]))"
ALL = 60.0


class ConsumerBench:
    """Topics and group of one test, and the consumer processes on them."""

    def __init__(self, bootstrap: str, name: str, directory: Path, partitions: int) -> None:
        self.bootstrap, self.name, self.directory, self.partitions = bootstrap, name, directory, partitions
        self.source, self.target, self.dead = f"{name}-in", f"{name}-out", f"{name}.dead"
        self.processes: list[subprocess.Popen[bytes]] = []
        self._clients: list[Any] = []
        self._admin: Any = None

    def start(self, slot: str = "0", **environ: str) -> subprocess.Popen[bytes]:
        """Start a consumer process; its log and status record are `<slot>.log` and `<slot>.json`."""
        settings = {
            "KARAFKA_BROKERS": self.bootstrap,
            "KARAFKA_STATUS_FILE": str(self.directory / f"{slot}.json"),
            "KARAFKA_RETRY_BACKOFF_SECONDS": "0.01",
            "TEST_APP": self.name,
            "TEST_SOURCE": self.source,
            "TEST_TARGET": self.target,
        }
        with (self.directory / f"{slot}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", RUN, "kafka_app:app"],
                cwd=PROGRAMS,
                env={**os.environ, **settings, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def log(self, slot: str = "0") -> str:
        return (self.directory / f"{slot}.log").read_text()

    def status(self, slot: str = "0") -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.directory / f"{slot}.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def group(self, slot: str = "0") -> dict[str, Any]:
        found: dict[str, Any] = self.status(slot).get("groups", {}).get(self.name, {})
        return found

    def ready(self, slot: str = "0") -> None:
        """Wait until the process works."""
        assert Deadline(ALL).poll(lambda: self.status(slot).get("state") == "running"), self.log(slot)

    def send(self, messages: Iterable[Any], topic: str | None = None) -> None:
        """Send messages, spread over all partitions; bytes as they are, anything else as JSON."""
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=self.bootstrap, max_request_size=20_000_000, linger_ms=5)
        futures = [
            producer.send(
                topic or self.source,
                item if isinstance(item, bytes) else json.dumps(item).encode(),
                partition=number % self.partitions,
            )
            for number, item in enumerate(messages)
        ]
        producer.flush(30)
        for future in futures:
            future.get(30)
        producer.close()

    def numbers(self, count: int, first: int = 0) -> None:
        self.send({"sequence": number} for number in range(first, first + count))

    def client(self, **options: Any) -> Any:
        from kafka import KafkaConsumer

        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, max_partition_fetch_bytes=20_000_000, **options)
        self._clients.append(consumer)
        return consumer

    def read(self, topic: str, count: int, timeout_seconds: float = ALL) -> list[Any]:
        """Read a topic from its beginning until it has given `count` records, or the time is over."""
        from kafka import TopicPartition

        consumer = self.client()
        consumer.assign([TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)])
        consumer.seek_to_beginning()
        found: list[Any] = []
        deadline = Deadline(timeout_seconds)
        while len(found) < count and not deadline.expired:
            for records in consumer.poll(200).values():
                found += records
        return found

    def sequences(self, count: int, timeout_seconds: float = ALL) -> list[int]:
        """Read the sequence numbers that came out, sorted."""
        return sorted(json.loads(record.value)["sequence"] for record in self.read(self.target, count, timeout_seconds))

    def committed(self) -> int:
        """Return how many messages of the source the group has committed, over all partitions; -1 if nobody knows."""
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        if self._admin is None:
            self._admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
            self._clients.append(self._admin)
        try:
            offsets = self._admin.list_group_offsets(self.name)
        except KafkaError:  # the coordinator has just come up, or moved
            self._admin = None
            return -1
        found = offsets.get(self.name, offsets)
        return sum(item.offset for partition, item in found.items() if partition.topic == self.source)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        for client in self._clients:
            client.close()


class MakeBench(Protocol):
    """Makes the topics of a test on a broker."""

    def __call__(
        self, broker: Broker, name: str = "relay", partitions: int = 4, config: dict[str, str] | None = None
    ) -> ConsumerBench: ...
