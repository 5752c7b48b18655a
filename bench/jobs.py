"""Background jobs: ours on Kafka beside huey and rq on Redis and procrastinate on Postgres, locked by resource.

Every job of every contender writes a line with the times (one monotonic clock) at which it began and ended: from these
lines come the rates, and how often two jobs of a resource ran at once (overlaps) or in the wrong order (inversions).
All jobs are enqueued before the first worker starts. Ours count as done when their offsets are committed.

    python -m bench.jobs [--json] [--allow-missing] [--million]
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
from kafka import KafkaAdminClient, KafkaProducer
from kafka.errors import KafkaError

from bench import job_peers
from bench.report import Report
from ops.core.deadline import Deadline
from ops.sandbox.kafka import EmbeddedKafka

APPS = Path(__file__).resolve().parent / "job_apps"
SLOTS = 8
BACKLOG, BACKLOG_SECONDS = 400, 0.02
PEER_JOBS, PEER_SECONDS = 2000, 60.0
IDLE_SECONDS = 10.0
LIMIT_SECONDS = 600.0
WAYS = {  # the command of a process, and the group whose commits tell what is done
    "inline": (("server", "--app", "ours:inline"), "bench"),
    "one FIFO thread": (("worker", "--app", "ours:app", "--fifo"), "bench.jobs"),
    "unique lanes": (("worker", "--app", "ours:app", "--concurrency", str(SLOTS)), "bench.jobs"),
}
LANES = "unique lanes"


@dataclass(frozen=True)
class Outcome:
    """What the notes tell of one run.

    Attributes
    ----------
    seconds : from the first job's begin to the last one's end, or to `committed`.
    overlaps, inversions : pairs of neighbours in a resource's jobs, ordered by their begin.
    """

    done: int
    seconds: float
    overlaps: int
    inversions: int


def outcome(notes: Path, committed: float | None = None) -> Outcome:
    """Read the notes of a run."""
    lines = notes.read_text().splitlines() if notes.exists() else []
    rows = sorted((float(b), float(e), scope, int(n)) for scope, n, b, e in (line.split() for line in lines))
    if not rows:
        return Outcome(0, float("inf"), 0, 0)
    overlaps = inversions = 0
    last: dict[str, tuple[float, int]] = {}
    for began, ended, scope, number in rows:
        before = last.get(scope)
        if before is not None:
            overlaps += before[0] > began
            inversions += before[1] > number
        last[scope] = max(ended, before[0] if before else ended), number
    end = max(row[1] for row in rows) if committed is None else committed
    return Outcome(len({row[3] for row in rows}), end - rows[0][0], overlaps, inversions)


def enqueue(broker: EmbeddedKafka, jobs: int, resources: int, seconds: float, way: str = LANES) -> float:
    """Enqueue jobs as a server does, or send the messages of the inline app; give milliseconds a job."""
    from notes import scope_of
    from ours import app

    from ops.consumer import Output
    from ops.consumer.parser import serialize
    from ops.jobs import job_of

    (route,) = app.routes
    producer = KafkaProducer(
        bootstrap_servers=broker.bootstrap, acks="all", batch_size=256 * 1024, linger_ms=5, metrics_enabled=False
    )
    for topic in ("bench.jobs", "work"):
        producer.partitions_for(topic)
    began = time.monotonic()
    for number in range(jobs):
        params = {"uniqueness_scope": scope_of(number, resources), "number": number, "seconds": seconds}
        job = job_of(route, params) if way != "inline" else Output("work", serialize(params))
        producer.send(job.topic, job.value, job.key, partition=job.partition)
    producer.flush()
    spent = time.monotonic() - began
    producer.close()
    return spent / jobs * 1000


@contextmanager
def worker(broker: EmbeddedKafka, notes: Path, way: str = LANES) -> Iterator[psutil.Process]:
    """Run one process that performs the jobs."""
    environ = {"KARAFKA_BROKERS": broker.bootstrap, "BENCH_NOTES": str(notes), "PYTHONPATH": str(APPS)}
    argv = [sys.executable, "-m", "ops", *WAYS[way][0]]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, env={**os.environ, **environ}, stdout=log, stderr=log)
        try:
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                code = process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            if code:
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace")[-4000:])


def until_committed(broker: EmbeddedKafka, count: int, group: str = "bench.jobs") -> float:
    """Wait until so many jobs are committed; gives when (monotonic clock)."""
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)

    def committed() -> bool:
        try:
            offsets = admin.list_group_offsets(group)
        except KafkaError:
            return False
        return sum(place.offset for place in offsets.get(group, offsets).values()) >= count

    try:
        if not Deadline(LIMIT_SECONDS).poll(committed, every=0.005):
            raise SystemExit(f"the jobs were not done within {LIMIT_SECONDS:g} s")
        return time.monotonic()
    finally:
        admin.close()


def ours(jobs: int, resources: int, seconds: float, way: str = LANES) -> tuple[Outcome, float]:
    """Let one process of ours do some jobs; gives milliseconds an enqueued job, too."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedKafka(Path(directory) / "kafka") as broker:
        broker.create_topics({"bench.jobs": 8, "work": 1})
        cost = enqueue(broker, jobs, resources, seconds, way)
        notes = Path(directory) / "notes"
        with worker(broker, notes, way):
            end = until_committed(broker, jobs, WAYS[way][1])
        return outcome(notes, end if not resources else None), cost


def at_rest() -> float:
    """Give a worker's CPU in percent while there is nothing to do."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedKafka(Path(directory) / "kafka") as broker:
        broker.create_topics({"bench.jobs": 8, "work": 1})
        enqueue(broker, 8, 0, 0.0)
        with worker(broker, Path(directory) / "notes") as process:
            until_committed(broker, 8)
            Deadline(3).poll(lambda: False)  # until it has come to rest
            before, since = process.cpu_times(), time.monotonic()
            Deadline(IDLE_SECONDS).poll(lambda: False)
            after = process.cpu_times()
            return (after.user + after.system - before.user - before.system) / (time.monotonic() - since) * 100


def memory(jobs: int) -> float:
    """Give the largest memory of a worker, in MB, that works through a long queue on many resources."""
    with tempfile.TemporaryDirectory() as directory, EmbeddedKafka(Path(directory) / "kafka") as broker:
        broker.create_topics({"bench.jobs": 8, "work": 1})
        enqueue(broker, jobs, 0, 0.0)
        largest = 0
        with worker(broker, Path(directory) / "notes") as process:
            deadline = Deadline(LIMIT_SECONDS)
            notes = Path(directory) / "notes"

            def far_enough() -> bool:
                nonlocal largest
                largest = max(largest, process.memory_info().rss)
                return notes.exists() and notes.stat().st_size > jobs * 20

            deadline.poll(far_enough, every=0.05)
        return largest / 1e6


def compare(report: Report) -> None:
    """Measure no-op jobs and backlogs, ours and the peers'."""
    peers = [name for name in job_peers.SCRIPTS if job_peers.present(name)]
    best = 0.0
    for name in peers:
        found = _peer(name, PEER_JOBS, 0, 0.0)
        rate = found.done / found.seconds
        best = max(best, rate)
        report.row(contender=name, jobs=PEER_JOBS, done=found.done, resources="all unique", per_second=round(rate))
    for jobs in (PEER_JOBS, 100_000):
        found, cost = ours(jobs, 0, 0.0)
        rate = found.done / found.seconds
        report.row(
            contender=f"karafka-ops, {LANES}", jobs=jobs, done=found.done, resources="all unique",
            per_second=round(rate), enqueue_ms=round(cost, 3),
        )  # fmt: skip
        ratio = rate / best if best else None
        report.claim(
            f"{jobs} no-op jobs / best peer's locked rate",
            None if ratio is None else round(ratio, 1), ">= 10", None if ratio is None else ratio >= 10,
        )  # fmt: skip
    report.claim("enqueue in a batch, ms a job", round(cost, 3), "<= 0.1", cost <= 0.1)
    for resources, factor in ((4, 1.05), (20, 1.1)):
        ideal = BACKLOG * BACKLOG_SECONDS / min(resources, SLOTS)
        for name in peers:
            _backlog(report, name, resources, _peer(name, BACKLOG, resources, BACKLOG_SECONDS), ideal)
        for way in WAYS:
            found, _ = ours(BACKLOG, resources, BACKLOG_SECONDS, way)
            _backlog(report, f"karafka-ops, {way}", resources, found, ideal)
        spent = found.seconds / ideal
        what = f"backlog of {BACKLOG} on {resources} resources / ideal"
        report.claim(what, round(spent, 3), f"<= {factor}", spent <= factor and found.done == BACKLOG)
        wrong = found.overlaps + found.inversions
        report.claim(f"{what.split(' /')[0]}: overlaps and inversions", wrong, "0", wrong == 0)


def _peer(name: str, jobs: int, resources: int, seconds: float) -> Outcome:
    with tempfile.TemporaryDirectory() as directory:
        notes = Path(directory) / "notes"
        job_peers.run(
            name, notes, jobs=jobs, resources=resources, seconds=seconds, slots=SLOTS, limit=PEER_SECONDS
        )  # fmt: skip
        return outcome(notes)


def _backlog(report: Report, name: str, resources: int, found: Outcome, ideal: float) -> None:
    report.row(
        contender=name, jobs=BACKLOG, done=found.done, resources=resources, seconds=round(found.seconds, 2),
        ideal_seconds=round(ideal, 2), overlaps=found.overlaps, inversions=found.inversions,
    )  # fmt: skip


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--allow-missing", action="store_true")
    parser.add_argument("--million", action="store_true", help="measure the memory with a million queued jobs, too")
    options = parser.parse_args()
    sys.path.insert(0, str(APPS))
    report = Report("jobs")
    compare(report)
    percent = at_rest()
    report.claim("a worker at rest, CPU, %", round(percent, 1), "<= 1", percent <= 1)
    if options.million:
        largest = memory(1_000_000)
        report.claim("a worker with 1,000,000 queued jobs, MB", round(largest), "<= 250", largest <= 250)
    return report.finish(options.json, options.allow_missing)


if __name__ == "__main__":
    sys.exit(main())
