"""`fab karafka.status` and `fab karafka.lag` on the sandbox's fleet: what the cluster says, and each kind of zombie."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ops.core import pidfile
from ops.core.brokers import Brokers
from ops.core.cluster import STABLE, Group
from ops.core.deadline import Deadline
from ops.kafka.connection import Cluster
from ops.kafka.groups import observe
from ops.kafka.members import remove_members
from ops.sandbox.state import Status, read_state
from tests.labs.in_process import fab, inv

PROJECT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PATIENCE = 90.0

pytestmark = pytest.mark.timeout(300)


class Stage:
    """The sandbox's fleet, running: one process on each of its three hosts, which show all that two would."""

    def __init__(self, sandbox: Status, config: Path) -> None:
        state = read_state(sandbox.directory)
        self.folder = sandbox.directory
        self.config = config
        config.write_text(Path(sandbox.config).read_text().replace("processes: 2", "processes: 1"))
        self.brokers: str = state["env"]["KARAFKA_BROKERS"]

    def argv(self, *arguments: str) -> list[str]:
        return [str(BIN / "fab"), "-f", str(self.config), *arguments]

    def fab(self, *arguments: str, config: str = "") -> subprocess.CompletedProcess[str]:
        with mock.patch.dict(os.environ, FABRIC_KARAFKA_START_TIMEOUT_SECONDS="90"):
            done = fab(PROJECT, *arguments, config=config or str(self.config), code=None)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def status(self, *arguments: str, config: str = "") -> Seen:
        done = self.fab("karafka.status", "--json", *arguments, config=config)
        return Seen(done.returncode, json.loads(done.stdout))

    def until(self, holds: Callable[[Group], bool]) -> Group:
        """Wait until something holds of the group by the brokers' word; gives the last look."""
        with Cluster(Brokers.at(self.brokers)) as cluster:

            def look() -> Group | None:
                (self.last,) = observe(cluster, ["sources"])
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
    """Whether the three processes are in their group, and nobody else."""
    return (group.state, len(group.members), len(group.owners)) == (STABLE, 3, 48)


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
def stage(sandbox: Status, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The fleet, started once for this module; each test leaves it well."""
    stage = Stage(sandbox, tmp_path_factory.mktemp("status") / "fabric.yaml")
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
def unmanaged_consumer(brokers: str) -> Iterator[None]:
    """Let a consumer that nobody manages be in the group of the application."""
    from kafka import KafkaConsumer

    consumer = KafkaConsumer("sources_refresh", bootstrap_servers=brokers, group_id="sources", client_id="intruder")
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


def send_refreshes(brokers: str, count: int) -> None:
    """Send to each partition in turn."""
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=brokers)
    for number in range(count):
        producer.send("sources_refresh", json.dumps({"id": f"r{number}"}).encode(), partition=number % 12)
    producer.flush(30)
    producer.close()


def test_a_row_joins_process_member_partitions_and_lag(stage: Stage) -> None:
    # Given a fleet that works
    seen = stage.until_well()
    assert seen.partitions() == 48
    # Then each process has its member by the brokers' word, which is the one that it says it is, and no lag
    for name, one in seen.processes.items():
        (place,) = one["places"]
        said = one["consumer"]["groups"]["sources"]
        assert (place["group"], place["state"], place["member_id"]) == ("sources", "Stable", said["member_id"]), name
        assert (len(place["partitions"]), place["lag"], place["generation"]) == (16, 0, said["generation"]), name
    assert seen.data["remarks"] == []
    # And for people the same stands in a table of plain lines
    done = stage.fab("karafka.status", "--hosts", "host1")
    heading, *rows = (line.split() for line in done.stdout.splitlines())
    assert done.returncode == 0, done.stdout
    assert len(rows) == 1  # the members on the hosts that were not chosen are explained: no remark
    assert [rows[0][heading.index(name)] for name in ("PARTS", "LAG")] == ["16", "0"]
    # And on the host itself, asked without SSH
    here = inv(stage.folder / "hosts/host1/app/current", "status", "--json", "--processes", "karafka-0")
    (said,) = json.loads(here.stdout)["processes"]
    assert (partitions(said), json.loads(here.stdout)["remarks"]) == (16, [])


def test_a_consumer_that_nobody_manages_is_shown_with_exit_1(stage: Stage) -> None:
    # Given a consumer of our topic in our group that no host runs
    with unmanaged_consumer(stage.brokers):
        # When it has joined
        stage.until(lambda group: group.state == STABLE and len(group.members) == 4)
        seen = stage.status()
        # Then it is named, with where it is, and no process of ours is blamed
        assert seen.code == 1
        assert "group sources: intruder" in seen.texts()
        assert "is no process of this application" in seen.texts()
        assert seen.zombies() == {}
        done = stage.fab("karafka.status", "--hosts", "host1")
        assert (done.returncode, "is no process of this application" in done.stdout) == (1, True)
    # And once it has left, all is well
    stage.until_well("--hosts", "host1")


def test_a_frozen_process_and_one_that_lost_its_place_are_shown_with_exit_1(stage: Stage) -> None:
    # Given a process that stands still while messages come in, and had worked on its partitions before
    send_refreshes(stage.brokers, 24)
    stage.until(lambda group: group.lag == 0 and well(group))
    pid = pidfile.read(stage.folder / "hosts/host2/app/shared/tmp/pids/karafka-0.pid")
    assert pid is not None
    with frozen(pid.pid):
        send_refreshes(stage.brokers, 24)
        # Then it makes no progress, and what waits for it is counted
        stage.until(lambda group: group.lag == 8)
        seen = stage.status()
        assert (seen.code, seen.zombies()) == (1, {"host2 karafka-0": ["no progress"]})
        assert seen.processes["host2 karafka-0"]["places"][0]["lag"] == 8
        assert "host2 karafka-0: makes no progress while it is frozen" in seen.texts()
        # And when its member is removed from the group, it runs and is not in it
        instance = seen.processes["host2 karafka-0"]["places"][0]["member_id"].rsplit("-", 5)[0]
        with Cluster(Brokers.at(stage.brokers)) as cluster:
            assert remove_members(cluster, "sources", [instance]) == {instance: True}
        stage.until(lambda group: group.state == STABLE and len(group.members) == 2)
        done = stage.fab("karafka.status", "--hosts", "host2")
        assert done.returncode == 1
        assert "host2 karafka-0: runs, and group sources" in done.stdout
        # And its row says so, and that nobody knows its lag
        heading, *rows = done.stdout.splitlines()
        (row,) = (line for line in rows if str(pid.pid) in line)
        assert row.split()[heading.split().index("LAG")] == "?", done.stdout
        assert "not in the group" in row
    # And once it goes on, it comes back by itself
    stage.until_well("--hosts", "host2")


def test_a_process_of_an_old_release_is_shown_with_exit_1(stage: Stage) -> None:
    # Given a host whose `current` was moved while its processes went on
    link = stage.folder / "hosts/host3/app/current"
    former = link.resolve()
    newer = former.with_name("29991231235959")
    newer.mkdir()
    try:
        link.unlink()
        link.symlink_to(newer)
        # When it is looked at
        seen = stage.status()
        # Then its process is of an old release, and nobody else's is
        assert (seen.code, seen.zombies()) == (1, {"host3 karafka-0": ["old release"]})
        assert f"host3 karafka-0: runs release {former.name}, current is {newer.name}" in seen.texts()
    finally:
        link.unlink()
        link.symlink_to(former)
        newer.rmdir()
    assert stage.until_well("--hosts", "host3").zombies() == {}


def test_a_cluster_that_cannot_be_asked_makes_lag_unknown_and_exit_4(stage: Stage, tmp_path: Path) -> None:
    # Given settings that lead to brokers that are not there
    config = tmp_path / "fabric.yaml"
    config.write_text(Path(stage.config).read_text().replace(stage.brokers, "127.0.0.1:9"))
    # When the fleet is looked at
    seen = stage.status("--hosts", "host1", config=str(config))
    # Then the processes are told of all the same, the lag of none, and the reason of each host that was asked through
    assert seen.code == 4
    assert [one["state"] for one in seen.processes.values()] == ["running"]
    assert [one["places"] for one in seen.processes.values()] == [[]]
    assert [seen.data["cluster_error"].count(f"host{number}: ") for number in (1, 2, 3)] == [1, 1, 1]


def test_lag_is_asked_through_a_host_of_the_fleet(stage: Stage) -> None:
    # When the lag of the groups that the processes tell of is asked for
    done = stage.fab("karafka.lag")
    # Then all topics are there
    heading, first, *_ = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert (heading.split()[0], first.split()[:2]) == ("GROUP", ["sources", "Stable"])
    # And groups can be named; one that does not exist is unknown, not zero
    done = stage.fab("karafka.lag", "--group", "sources,nobody", "--json")
    assert done.returncode == 4, done.stderr
    assert [(one["group"], one["lag"]) for one in json.loads(done.stdout)["groups"]] == [
        ("sources", 0),
        ("nobody", None),
    ]


@pytest.mark.parametrize("task", ["karafka.status", pytest.param("karafka.lag", marks=pytest.mark.soak)])
def test_a_watched_table_renews_itself_until_ctrl_c(stage: Stage, task: str) -> None:
    # Given a live table on a terminal of 80 columns
    inside, outside = pty.openpty()
    process = subprocess.Popen(
        stage.argv(task, "--watch"), cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=outside,
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
