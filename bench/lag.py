"""Lag of 200 consumer groups with 12 partitions each: one look, warm, and `inv lag` against Kafka's own tool.

The groups have committed offsets and no members. Times are the smallest of some runs that take turns: what disturbs a
run can only add; the median stands beside it.

    python -m bench.lag [--rounds 5] [--json] [--allow-missing]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from kafka import OffsetAndMetadata, TopicPartition

from bench.kafka_tools import consumer_groups
from bench.measure import Contender, take_turns
from bench.report import Report
from ops.core.brokers import Brokers
from ops.core.errors import OpsError
from ops.kafka.connection import Cluster
from ops.kafka.groups import observe
from ops.sandbox.kafka import EmbeddedKafka

GROUPS = 200
PARTITIONS = 12
LOOKS = 30
WARM_BOUND_MS = 30.0
COMMAND_BOUND = 0.2
TOOL = "kafka-consumer-groups --all-groups --describe"
OURS = "inv lag"


def commit(cluster: Cluster, topics: dict[str, str]) -> None:
    """Let groups have committed the first offset of each partition of their topics."""
    for group, topic in topics.items():
        offsets = {TopicPartition(topic, number): OffsetAndMetadata(0, "", -1) for number in range(PARTITIONS)}

        def alter(admin: object, group: str = group, offsets: object = offsets) -> None:
            errors = admin.alter_group_offsets(group, offsets)  # type: ignore[attr-defined]
            for error in errors.values():
                if error.errno:
                    raise error(group)

        cluster.ask(alter)


def project(directory: Path, groups: list[str]) -> Path:
    """Write a project whose app reads one topic a group; gives its folder."""
    directory.mkdir()
    (directory / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    (directory / "many.py").write_text(
        "from ops.consumer import App, Controller\n"
        "class OneController(Controller):\n    def perform(self):\n        pass\n"
        "app = App('many')\n"
        f"for group in {groups!r}:\n"
        "    app.topic(f'of-{group}', controller=OneController, group=group)\n"
    )
    return directory


def looks(cluster: Cluster, groups: list[str]) -> list[float]:
    """Look at the groups, again and again, by one client; give the milliseconds of each look.

    Raises
    ------
    OpsError : not every partition's lag was told.
    """
    times = []
    for _ in range(LOOKS + 3):
        began = time.perf_counter()
        seen = observe(cluster, groups)
        times.append(1000 * (time.perf_counter() - began))
        known = sum(one.lag is not None for group in seen for one in group.progress)
        if known != GROUPS * PARTITIONS:
            raise OpsError(f"the lag of {known} partitions is known, not of {GROUPS * PARTITIONS}")
    return times[3:]


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--allow-missing", action="store_true")
    options = parser.parse_args()
    report = Report("lag")
    groups = [f"group-{number}" for number in range(GROUPS)]
    own = [f"own-{number}" for number in range(GROUPS)]
    with (
        tempfile.TemporaryDirectory(prefix="karafka-bench-") as temporary,
        EmbeddedKafka(Path(temporary) / "kafka") as broker,
        Cluster(Brokers.at(broker.bootstrap), timeout_seconds=60) as cluster,
    ):
        broker.create_topics({"shared": PARTITIONS})
        commit(cluster, dict.fromkeys(groups, "shared"))
        warm = looks(cluster, groups)
        row(report, f"one look at {GROUPS} groups, one topic", warm)
        report.claim(
            f"lag of {GROUPS} groups x {PARTITIONS} partitions, warm, ms",
            round(min(warm), 1),
            f"<= {WARM_BOUND_MS:g}",
            min(warm) <= WARM_BOUND_MS,
        )
        ratio = compare(report, broker.bootstrap, project(Path(temporary) / "project", groups), options.rounds)
        report.claim(
            f"{OURS} / {TOOL}, wall",
            None if ratio is None else round(ratio, 3),
            f"<= {COMMAND_BOUND:g}",
            None if ratio is None else ratio <= COMMAND_BOUND,
        )
        broker.create_topics({f"of-{name}": PARTITIONS for name in own})
        commit(cluster, {name: f"of-{name}" for name in own})
        row(report, f"one look at {GROUPS} groups, a topic each", looks(cluster, own))
    return report.finish(options.json, options.allow_missing)


def row(report: Report, what: str, times: list[float]) -> None:
    """Add a row of milliseconds."""
    report.row(what=what, smallest_ms=round(min(times), 1), median_ms=round(statistics.median(times), 1))


def compare(report: Report, bootstrap: str, directory: Path, rounds: int) -> float | None:
    """Run both commands in turns; give ours as a part of Kafka's own, None where that is missing."""
    inv = str(Path(sys.executable).parent / "inv")
    env = {"KARAFKA_BROKERS": bootstrap, "KARAFKA_APP": "many:app"}
    contenders = [Contender(OURS, (inv, "lag"), directory, env=env, expect="shared", times=GROUPS)]
    try:
        tool = consumer_groups(bootstrap)
    except OpsError as error:
        print(error, file=sys.stderr)
    else:
        contenders.append(Contender(TOOL, tool, directory, expect="shared", times=GROUPS * PARTITIONS))
    costs = take_turns(contenders, rounds)
    for name, some in costs.items():
        row(report, name, [1000 * one.wall_seconds for one in some])
    wall = {name: min(one.wall_seconds for one in some) for name, some in costs.items()}
    return wall[OURS] / wall[TOOL] if TOOL in wall else None


if __name__ == "__main__":
    sys.exit(main())
