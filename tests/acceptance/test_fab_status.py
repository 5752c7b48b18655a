"""`fab karafka.status` and `fab karafka.lag` on a fleet that works: what the cluster says, and each kind of zombie."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from ops.core.brokers import Brokers
from ops.core.cluster import STABLE, Group
from ops.core.deadline import Deadline
from ops.kafka.connection import Cluster
from ops.kafka.groups import observe
from ops.kafka.members import remove_members
from ops.sandbox.shared import SharedKafka
from tests.labs.in_process import fab, inv
from tests.labs.operators import FAB
from tests.labs.relays import PARTITIONS, MakeRelays, Relays

PATIENCE = 90.0

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]


class Stage:
    """A fleet of two hosts with one process each, set up so that `inv` works on them, too."""

    def __init__(self, relays: Relays) -> None:
        self.relays = relays
        self.group = relays.name
        self.brokers = relays.bootstrap
        self.config = relays.folder / "fabric.json"
        for host in relays.hosts:
            root = relays.root(host.name)
            (root / "current/tasks.py").write_text("from ops.tasks import namespace as ns\n")
            (root / "current/fabric.json").symlink_to(self.config)
            (root / "shared").mkdir()
            (root / "shared/karafka-ops-host.json").write_text(json.dumps({"host": host.name, "stage": "test"}))

    def argv(self, *arguments: str) -> list[str]:
        return [FAB, "-i", str(self.relays.fleet.key), "-f", str(self.config), *arguments]

    def fab(self, *arguments: str, config: str = "fabric.json") -> subprocess.CompletedProcess[str]:
        return fab(self.relays.folder, "-i", str(self.relays.fleet.key), *arguments, config=config, code=None)

    def status(self, *arguments: str, config: str = "fabric.json") -> Seen:
        done = self.fab("karafka.status", "--json", *arguments, config=config)
        return Seen(done.returncode, json.loads(done.stdout))

    def until(self, holds: Callable[[Group], bool]) -> Group:
        """Wait until something holds of the group by the brokers' word; gives the last look."""
        with Cluster(Brokers.at(self.brokers)) as cluster:

            def look() -> Group | None:
                (self.last,) = observe(cluster, [self.group])
                return self.last if holds(self.last) else None

            found = Deadline(PATIENCE).poll(look, every=0.2)
        assert found is not None, self.last
        return found

    def until_well(self, *arguments: str) -> Seen:
        """Wait until every partition is one of ours', and nothing waits; gives the first look that says so, too."""
        self.until(lambda group: well(group) and group.lag == 0)

        def look() -> Seen | None:
            self.seen = self.status(*arguments)
            return self.seen if self.seen.code == 0 and self.seen.lag() == 0 else None

        found = Deadline(PATIENCE).poll(look, every=0.2)
        assert found is not None, (self.seen.code, self.seen.data["remarks"], self.seen.data.get("cluster_error"))
        return found


def well(group: Group) -> bool:
    """Whether the two processes are in their group, and nobody else."""
    return (group.state, len(group.members), len(group.owners)) == (STABLE, 2, PARTITIONS)


class Seen:
    """One `karafka.status --json`."""

    def __init__(self, code: int, data: dict[str, Any]) -> None:
        self.code = code
        self.data = data
        self.processes = {f"{host['host']} {one['name']}": one for host in data["hosts"] for one in host["processes"]}

    def zombies(self) -> dict[str, list[str]]:
        return {name: one["zombies"] for name, one in self.processes.items() if one["zombies"]}

    def partitions(self) -> int:
        return sum(map(partitions, self.processes.values()))

    def lag(self) -> int | None:
        """Add all up; None if one is unknown."""
        lags = [place["lag"] for one in self.processes.values() for place in one["places"]]
        return None if None in lags else sum(lags)

    def texts(self) -> str:
        return "\n".join(one["text"] for one in self.data["remarks"])


def partitions(process: dict[str, Any]) -> int:
    return sum(len(place["partitions"] or ()) for place in process["places"])


@pytest.fixture(scope="module")
def relays(relays_of: MakeRelays, kafka: SharedKafka) -> Relays:
    """The project of this module."""
    return relays_of(kafka, kafka.unique("status"))


@pytest.fixture(scope="module")
def stage(relays: Relays) -> Iterator[Stage]:
    """The fleet, started once for this module; each test leaves it well."""
    stage = Stage(relays)
    done = stage.fab("karafka.start")
    assert done.returncode == 0, done.stderr
    yield stage
    assert stage.fab("karafka.stop").returncode == 0


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Let a process stand still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def unmanaged_consumer(stage: Stage) -> Iterator[None]:
    """Let a consumer that nobody manages be in the group of the application."""
    from kafka import KafkaConsumer

    topic, group = f"{stage.group}-in", stage.group
    consumer = KafkaConsumer(topic, bootstrap_servers=stage.brokers, group_id=group, client_id="intruder")
    end = threading.Event()

    def work() -> None:
        while not end.is_set():
            consumer.poll(timeout_ms=2000)
        consumer.close(autocommit=False)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(60)


def send(stage: Stage, count: int) -> None:
    """Send to each partition in turn."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=stage.brokers)
    for number in range(count):
        message = json.dumps({"stream": "status", "sequence": number}).encode()
        producer.send(f"{stage.group}-in", message, partition=number % PARTITIONS)
    producer.flush(30)
    producer.close()


def test_a_row_joins_process_member_partitions_and_lag(stage: Stage) -> None:
    # Given a fleet that works
    seen = stage.until_well()
    assert seen.partitions() == PARTITIONS
    # Then each process has its member by the brokers' word, which is the one that it says it is, and no lag
    for name, one in seen.processes.items():
        (place,) = one["places"]
        said = one["consumer"]["groups"][stage.group]
        assert (place["group"], place["state"], place["member_id"]) == (stage.group, "Stable", said["member_id"]), name
        assert (len(place["partitions"]), place["lag"], place["generation"]) == (2, 0, said["generation"]), name
    assert seen.data["remarks"] == []
    # And for people the same stands in a table of plain lines
    done = stage.fab("karafka.status", "--hosts", "host1")
    heading, *rows = (line.split() for line in done.stdout.splitlines())
    assert done.returncode == 0, done.stdout
    assert len(rows) == 1  # the members on the hosts that were not chosen are explained: no remark
    assert [rows[0][heading.index(name)] for name in ("PARTS", "LAG")] == ["2", "0"]
    # And on the host itself, asked without SSH
    here = json.loads(inv(stage.relays.root("host1") / "current", "status", "--json").stdout)
    assert (here["stage"], here["host"], here["remarks"]) == ("test", "host1", [])
    assert [(one["name"], partitions(one)) for one in here["processes"]] == [("karafka-0", 2)]
    # And in the project's folder on the operator's machine, where none runs, the fleet's members are no strangers
    (stage.relays.folder / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    done = inv(stage.relays.folder, "status", "--json", code=3)
    assert json.loads(done.stdout)["remarks"] == []


def test_a_consumer_that_nobody_manages_is_shown_with_exit_1(stage: Stage) -> None:
    # Given a consumer of our topic in our group that no host runs
    with unmanaged_consumer(stage):
        # When it has joined
        stage.until(lambda group: group.state == STABLE and len(group.members) == 3)
        seen = stage.status()
        # Then it is named, with where it is, and no process of ours is blamed
        assert seen.code == 1
        assert f"group {stage.group}: intruder" in seen.texts()
        assert "is no process of this application" in seen.texts()
        assert seen.zombies() == {}
        done = stage.fab("karafka.status", "--hosts", "host1")
        assert (done.returncode, "is no process of this application" in done.stdout) == (1, True)
    # And once it has left, all is well
    stage.until_well("--hosts", "host1")


def test_a_frozen_process_and_one_that_lost_its_place_are_shown_with_exit_1(stage: Stage) -> None:
    # Given a process that stands still while messages come in, and had worked on its partitions before
    send(stage, 8)
    stage.until(lambda group: group.lag == 0 and well(group))
    pid = stage.relays.pids()["host2 karafka-0"]
    with frozen(pid):
        send(stage, 8)
        # Then it makes no progress, and what waits for it is counted
        stage.until(lambda group: group.lag == 4)
        seen = stage.status()
        assert (seen.code, seen.zombies()) == (1, {"host2 karafka-0": ["no progress"]})
        assert seen.processes["host2 karafka-0"]["places"][0]["lag"] == 4
        assert "host2 karafka-0: makes no progress while it is frozen" in seen.texts()
        # And when its member is removed from the group, it runs and is not in it
        instance = seen.processes["host2 karafka-0"]["places"][0]["member_id"].rsplit("-", 5)[0]
        with Cluster(Brokers.at(stage.brokers)) as cluster:
            assert remove_members(cluster, stage.group, [instance]) == {instance: True}
        stage.until(lambda group: group.state == STABLE and len(group.members) == 1)
        done = stage.fab("karafka.status", "--hosts", "host2")
        assert done.returncode == 1
        assert f"host2 karafka-0: runs, and group {stage.group}" in done.stdout
        # And its row says so, and that nobody knows its lag
        heading, *rows = done.stdout.splitlines()
        (row,) = (line for line in rows if str(pid) in line)
        assert row.split()[heading.split().index("LAG")] == "?", done.stdout
        assert "not in the group" in row
    # And once it goes on, it comes back by itself
    stage.until_well("--hosts", "host2")


def test_a_process_of_an_old_release_is_shown_with_exit_1(stage: Stage) -> None:
    # Given a host whose `current` was moved while its processes went on
    link = stage.relays.root("host2") / "current"
    former = link.resolve()
    newer = former.with_name("29991231235959")
    newer.mkdir()
    try:
        link.unlink()
        link.symlink_to(newer)
        # When it is looked at
        seen = stage.status()
        # Then its process is of an old release, and nobody else's is
        assert (seen.code, seen.zombies()) == (1, {"host2 karafka-0": ["old release"]})
        assert f"host2 karafka-0: runs release {former.name}, current is {newer.name}" in seen.texts()
    finally:
        link.unlink()
        link.symlink_to(former)
        newer.rmdir()
    assert stage.until_well("--hosts", "host2").zombies() == {}


def test_a_cluster_that_cannot_be_asked_makes_lag_unknown_and_exit_4(stage: Stage, tmp_path: Path) -> None:
    # Given settings that lead to brokers that are not there
    config = tmp_path / "fabric.json"
    config.write_text(stage.config.read_text().replace(stage.brokers, "127.0.0.1:9"))
    # When the fleet is looked at
    seen = stage.status("--hosts", "host1", config=str(config))
    # Then the processes are told of all the same, the lag of none, and the reason of each host that was asked through
    assert seen.code == 4
    assert [one["state"] for one in seen.processes.values()] == ["running"]
    assert [one["places"] for one in seen.processes.values()] == [[]]
    assert seen.data["cluster_error"].startswith("host1, host2: ")


def test_lag_is_asked_through_a_host_of_the_fleet(stage: Stage) -> None:
    # When the lag of the groups that the processes tell of is asked for
    done = stage.fab("karafka.lag")
    # Then all topics are there
    heading, first, *_ = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert (heading.split()[0], first.split()[:2]) == ("GROUP", [stage.group, "Stable"])
    # And groups can be named; one that does not exist is unknown, not zero
    done = stage.fab("karafka.lag", "--group", f"{stage.group},nobody", "--json")
    assert done.returncode == 4, done.stderr
    assert [(one["group"], one["lag"]) for one in json.loads(done.stdout)["groups"]] == [
        (stage.group, 0),
        ("nobody", None),
    ]


@pytest.mark.parametrize("task", ["karafka.status", pytest.param("karafka.lag", marks=pytest.mark.soak)])
def test_a_watched_table_renews_itself_until_ctrl_c(stage: Stage, task: str) -> None:
    # Given a live table on a terminal of 80 columns
    inside, outside = pty.openpty()
    process = subprocess.Popen(
        stage.argv(task, "--watch"), cwd=stage.relays.folder, stdin=subprocess.DEVNULL, stdout=outside,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    )  # fmt: skip
    try:
        # When it has been drawn twice
        seen = b""
        deadline = Deadline(PATIENCE)
        while seen.count(b" LAG ") < 2 and not deadline.expired:
            seen += os.read(inside, 4096)
        assert seen.count(b" LAG ") >= 2
        # Then Ctrl-C ends it, and that is no failure
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        os.close(inside)
        os.close(outside)
