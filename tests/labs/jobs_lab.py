"""Workers on a real broker, jobs for them, and what the jobs noted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, Protocol

from ops.core.deadline import Deadline
from ops.sandbox.shared import SharedKafka
from tests.labs.brokers import SpareKafka

PROGRAMS = Path(__file__).with_name("programs")
PATIENCE = 60.0


class JobsLab:
    """One app with its topics, its workers, and a file that all jobs write to."""

    def __init__(self, bootstrap: str, name: str, directory: Path) -> None:
        self.bootstrap, self.name, self.directory = bootstrap, name, directory
        self.notes_file = directory / "notes"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.sent = 0
        self._clients: list[Any] = []
        self._admin: Any = None
        self._read = 0
        self._notes: list[dict[str, Any]] = []
        self._producer: Any = None

    def worker(self, slot: str = "0", *, command: tuple[str, ...] = ("worker",), **environ: str) -> Any:
        """Start a process that performs jobs, or another `command`; it writes `<slot>.log` and `<slot>.json`."""
        settings = {
            "KARAFKA_BROKERS": self.bootstrap,
            "KARAFKA_STATUS_FILE": str(self.directory / f"{slot}.json"),
            "KARAFKA_RETRY_BACKOFF_SECONDS": "0.01",
            "KARAFKA_APP": "jobs_app:app",
            "TEST_APP": self.name,
            "TEST_NOTES": str(self.notes_file),
        }
        (self.directory / f"{slot}.json").unlink(missing_ok=True)
        with (self.directory / f"{slot}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ops", *command],
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

    def group(self, slot: str = "0") -> dict[str, Any]:
        try:
            record = json.loads((self.directory / f"{slot}.json").read_text())
        except FileNotFoundError:
            return {}
        found: dict[str, Any] = {"state": record["state"], **record["groups"].get(f"{self.name}.jobs", {})}
        return found

    def ready(self, slot: str = "0") -> float:
        """Wait until a process works; gives when (monotonic clock)."""
        assert Deadline(PATIENCE).poll(lambda: self.group(slot).get("state") == "running", every=0.01), self.log(slot)
        return time.monotonic()

    def send(self, *items: Any, topic: str = "in") -> None:
        """Send messages to the app; to `jobs` what is to be no job."""
        from kafka import KafkaProducer

        if self._producer is None:
            self._producer = KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
            self._clients.append(self._producer)
        name = f"{self.name}.jobs" if topic == "jobs" else f"{self.name}-{topic}"
        for item in items:
            value = item if isinstance(item, bytes) else json.dumps(item).encode()
            self._producer.send(name, value, item["key"].encode() if isinstance(item, dict) else None)
        self._producer.flush(30)

    def enqueue(self, count: int, keys: int, **params: Any) -> None:
        """Enqueue jobs straight away, their numbers counting on."""
        import zlib

        from kafka import KafkaProducer

        if self._producer is None:
            self._producer = KafkaProducer(bootstrap_servers=self.bootstrap, linger_ms=5)
            self._clients.append(self._producer)
        for number in range(self.sent, self.sent + count):
            name = f"k{number % keys}"
            key = json.dumps(["WorkWorker", name], separators=(",", ":")).encode()
            job = {
                "id": str(number),
                "worker": "WorkWorker",
                "topic": f"{self.name}-in",
                "at": time.time(),
                "params": {"key": name, "n": number, "uniqueness_scope": name, **params},
            }
            self._producer.send(f"{self.name}.jobs", json.dumps(job).encode(), key, partition=zlib.crc32(key) % 4)
        self.sent += count
        self._producer.flush(30)

    def notes(self, what: str = "") -> list[dict[str, Any]]:
        if self.notes_file.exists():
            with self.notes_file.open("rb") as file:
                file.seek(self._read)
                whole, end, _ = file.read().rpartition(b"\n")
            self._read += len(whole) + len(end)
            self._notes += map(json.loads, whole.splitlines())
        return [one for one in self._notes if not what or one["what"] == what]

    def until_done(self, count: int | None = None) -> None:
        """Wait until every job sent has ended, whichever process did it."""
        wanted = self.sent if count is None else count
        assert Deadline(PATIENCE).poll(lambda: len({one["n"] for one in self.notes("end")}) >= wanted), self.report()

    def add_partitions(self, total: int) -> None:
        """Return the jobs topic more partitions."""
        from kafka import KafkaAdminClient

        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_partitions({f"{self.name}.jobs": total})
        finally:
            admin.close()

    def committed(self) -> int:
        """Return how many jobs the commits tell as finished, without what finished behind them; -1 if nobody knows."""
        from kafka import KafkaAdminClient
        from kafka.errors import KafkaError

        if self._admin is None:
            self._admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
            self._clients.append(self._admin)
        try:
            offsets = self._admin.list_group_offsets(f"{self.name}.jobs")
        except KafkaError:  # the coordinator has just come up, or moved
            self._admin = None
            return -1
        return sum(item.offset for item in offsets.get(f"{self.name}.jobs", offsets).values())

    def letters(self, count: int) -> list[Any]:
        """Read the dead letters, waiting for so many."""
        from kafka import KafkaConsumer, TopicPartition

        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap)
        self._clients.append(consumer)
        name = f"{self.name}.dead"
        assert Deadline(PATIENCE).poll(lambda: consumer.partitions_for_topic(name)), name
        consumer.assign([TopicPartition(name, number) for number in consumer.partitions_for_topic(name)])
        consumer.seek_to_beginning()
        found: list[Any] = []
        deadline = Deadline(PATIENCE)
        while len(found) < count and not deadline.expired:
            for records in consumer.poll(200).values():
                found += records
        return found

    def report(self) -> str:
        logs = "\n".join(f"{path.name}: {path.read_text()[-3000:]}" for path in self.directory.glob("*.log"))
        ended = {one["n"] for one in self.notes("end")}
        return f"missing {sorted(set(range(self.sent)) - ended)[:20]}\n{logs}"

    def assert_no_overlap(self, killed: dict[int, float]) -> dict[int, int]:
        """Hold that jobs of a key never ran beside each other, and in order; gives how often each job was begun.

        Parameters
        ----------
        killed : by pid when (monotonic clock) it was killed: its jobs ended then.
        """
        begun: dict[int, int] = defaultdict(int)
        open_jobs: dict[str, tuple[int, int]] = {}
        done: dict[str, int] = {}
        events = [(one["at"], one["what"], one["key"], one["n"], one["pid"]) for one in self.notes()]
        events += [(at, "killed", "", 0, pid) for pid, at in killed.items()]
        for _, what, key, n, pid in sorted(events):
            if what == "killed":
                open_jobs = {name: job for name, job in open_jobs.items() if job[1] != pid}
            elif what == "begin":
                assert key not in open_jobs, f"{key}: {n} began in {pid} beside {open_jobs[key]}"
                open_jobs[key] = n, pid
                begun[n] += 1
                if begun[n] == 1:
                    assert n > done.get(key, -1), f"{key}: {n} began after {done[key]}"
            elif what in ("end", "failed"):
                assert open_jobs.pop(key) == (n, pid)
                done[key] = max(n, done.get(key, -1))
        return begun

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait(10)
        for client in self._clients:
            client.close()


class MakeJobsLab(Protocol):
    """Makes the topics of a test on a broker; `partitions` of the jobs topic."""

    def __call__(self, broker: SharedKafka | SpareKafka, *, partitions: int = 4) -> JobsLab: ...
