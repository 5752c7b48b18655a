"""Throughput of ops.consumer against a bare kafka-python loop and FastStream; idle cost of a hundred topics.

Each consumer runs in a process of its own and reads the same topic. How fast it was is what the broker says: the
time between the first and the last message of its output topic (LogAppendTime).

    python -m bench.consume [--messages 100000] [--rounds 3] [--bootstrap HOST:PORT] [--json] [--allow-missing]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from bench.report import Report
from ops.core.deadline import Deadline
from ops.sandbox.kafka import EmbeddedKafka

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent / ".peers" / "venv" / "bin" / "python"
SCRIPTS = {"bare": "bare.py", "framework": "framework.py", "faststream": "faststream_peer.py"}
PARTITIONS = 6
MESSAGE_BYTES = 1024
TOPICS = 100
IDLE_SECONDS = 10.0
LIMIT_SECONDS = 300.0


def fill(bootstrap: str, topic: str, count: int) -> None:
    """Write `count` JSON messages of 1 KB."""
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all", batch_size=512 * 1024, linger_ms=20)
    frame = len(json.dumps({"sequence": 0, "text": ""}))
    for number in range(count):
        text = "x" * (MESSAGE_BYTES - frame + 1 - len(str(number)))
        value = json.dumps({"sequence": number, "text": text}).encode()
        producer.send(topic, value, partition=number % PARTITIONS)
    producer.close()


def ends(bootstrap: str, topic: str) -> tuple[int, float]:
    """Give how many messages a topic holds, and the seconds between its first and last one."""
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, max_poll_records=1)
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    stamps: list[int] = []
    offsets = consumer.end_offsets(partitions)
    for partition, end in offsets.items():
        for offset in {0, end - 1} if end else set():
            consumer.assign([partition])
            consumer.seek(partition, offset)
            stamps.append(next(iter(consumer.poll(10_000).values()))[0].timestamp)
    consumer.close()
    return sum(offsets.values()), (max(stamps) - min(stamps)) / 1000 if stamps else 0.0


@contextmanager
def running(argv: list[str], environ: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a consumer; TERM it at the end."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, env=os.environ | environ, stdout=log, stderr=log, cwd=HERE)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.returncode not in (0, -signal.SIGTERM):
                log.seek(0)
                sys.stderr.write(log.read().decode(errors="replace")[-4000:])


def throughput(
    broker: EmbeddedKafka, source: str, count: int, consumer: str, python: str, tag: str
) -> tuple[float, float]:
    """Let one consumer work through `count` messages; give messages a second, and its CPU in microseconds a message."""
    target = f"out-{consumer}-{tag}"
    broker.create_topics({target: PARTITIONS}, {"message.timestamp.type": "LogAppendTime"})
    environ = {
        "KARAFKA_BROKERS": broker.bootstrap,
        "BENCH_SOURCE": source,
        "BENCH_TARGET": target,
        "BENCH_GROUP": f"group-{consumer}-{tag}",
    }
    watcher = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    partitions = [TopicPartition(target, number) for number in range(PARTITIONS)]
    with running([python, str(HERE / "consumers" / SCRIPTS[consumer])], environ) as process:

        def finished() -> bool:
            if process.poll() is not None:
                raise SystemExit(f"the {consumer} consumer ended early, exit code {process.returncode}")
            return sum(watcher.end_offsets(partitions).values()) >= count

        if not Deadline(LIMIT_SECONDS).poll(finished, every=0.5):
            raise SystemExit(f"the {consumer} consumer did not finish within {LIMIT_SECONDS:g} s")
        times = psutil.Process(process.pid).cpu_times()
    watcher.close()
    total, seconds = ends(broker.bootstrap, target)
    if total != count and consumer != "faststream":
        raise SystemExit(f"the {consumer} consumer sent {total} messages for {count}")
    return total / seconds, (times.user + times.system) / total * 1e6


def idle(broker: EmbeddedKafka) -> tuple[float, float]:
    """Run a hundred topics in one process; give seconds until all are assigned, and its CPU in percent at rest."""
    names = [f"idle-{number}" for number in range(TOPICS)]
    broker.create_topics(dict.fromkeys(names, 1))
    with tempfile.TemporaryDirectory() as directory:
        record = Path(directory) / "status.json"
        environ = {
            "KARAFKA_BROKERS": broker.bootstrap,
            "KARAFKA_STATUS_FILE": str(record),
            "BENCH_TOPICS": ",".join(names),
        }
        began = time.monotonic()
        with running([sys.executable, str(HERE / "consumers" / "framework.py")], environ) as process:

            def assigned() -> bool:
                facts = json.loads(record.read_text()) if record.exists() else {}
                return facts.get("state") == "running" and len(facts["groups"]["idle"]["assignment"]) == TOPICS

            if not Deadline(60).poll(assigned, every=0.05):
                raise SystemExit("a hundred topics were not assigned within 60 s")
            seconds = time.monotonic() - began
            watched = psutil.Process(process.pid)
            before, since = watched.cpu_times(), time.monotonic()
            Deadline(IDLE_SECONDS).poll(lambda: process.poll() is not None, every=0.5)
            after = watched.cpu_times()
            used = after.user + after.system - before.user - before.system
            return seconds, used / (time.monotonic() - since) * 100


def main() -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=Path, default=PEERS, help="interpreter that has faststream[confluent]")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--allow-missing", action="store_true")
    options = parser.parse_args()
    report = Report("consume")
    with tempfile.TemporaryDirectory() as directory, EmbeddedKafka(Path(directory)) as broker:
        broker.create_topics({"source": PARTITIONS})
        fill(broker.bootstrap, "source", options.messages)
        consumers = {"bare": sys.executable, "framework": sys.executable}
        if options.peers.exists():
            consumers["faststream"] = str(options.peers)
        # One message at a time is what FastStream does: a tenth of the messages tells as much
        counts = {name: options.messages // (10 if name == "faststream" else 1) for name in consumers}
        speeds: dict[str, list[float]] = {name: [] for name in consumers}
        costs: dict[str, list[float]] = {name: [] for name in consumers}
        for turn in range(options.rounds):
            for name, python in consumers.items():
                speed, cost = throughput(broker, "source", counts[name], name, python, str(turn))
                speeds[name].append(speed)
                costs[name].append(cost)
        median = {name: statistics.median(values) for name, values in speeds.items()}
        for name in consumers:
            report.row(
                consumer=name,
                messages=counts[name],
                per_second=round(median[name]),
                of_bare=round(median[name] / median["bare"], 2),
                cpu_microseconds=round(statistics.median(costs[name])),
            )
        ratio = median["framework"] / median["bare"]
        report.claim("framework / bare kafka-python loop, throughput", round(ratio, 2), ">= 0.7", ratio >= 0.7)
        peer = median["framework"] / median["faststream"] if "faststream" in median else None
        report.claim(
            "framework / FastStream (confluent), throughput",
            None if peer is None else round(peer, 2),
            ">= 1",
            None if peer is None else peer >= 1,
        )
        seconds, percent = idle(broker)
        report.row(
            consumer=f"framework, {TOPICS} topics idle",
            assigned_seconds=round(seconds, 1),
            cpu_percent=round(percent, 1),
        )
        report.claim(f"{TOPICS} topics in one process, CPU at rest, %", round(percent, 1), "<= 3", percent <= 3)
        report.claim(
            f"{TOPICS} topics in one process, start to all assigned, s", round(seconds, 1), "<= 5", seconds <= 5
        )
    return report.finish(options.json, options.allow_missing)


if __name__ == "__main__":
    sys.exit(main())
