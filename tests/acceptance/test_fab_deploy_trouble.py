"""Deploys that fail, are killed, or meet each other, over real SSH: nothing is half switched in silence, all heals."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ops.core.deadline import Deadline
from ops.core.lease import Fence, LeaseAction, LeaseCall
from ops.fleet.deploy.flow import Wanted, deploy_flow
from ops.node.fence import FenceRecord
from ops.node.lease import LeaseKeeper
from ops.node.releases import RECORDS
from tests.labs.operators import Operator
from tests.labs.parts import SSHD, needs
from tests.labs.yard import STANDING, Yard

STAGES = [stage.name for stage in deploy_flow((), Wanted(git=True, build=False, verify=False)).stages]
PUBLISHED = STAGES.index("published")
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(autouse=True)
def good(yard: Yard) -> None:
    """A release that works is there before each test; hooks and settings of a test are its own."""
    yard.tidy()
    yard.working()


def releases(yard: Yard) -> dict[str, list[str]]:
    return {name: sorted(path.name for path in (root / "releases").iterdir()) for name, root in yard.hosts.items()}


def test_a_bad_release_is_rolled_back_or_left_with_the_two_commands_that_follow(yard: Yard) -> None:
    # Given releases that work, and one that exits at once
    first = yard.only()
    for root in yard.hosts.values():
        for path in (root / "releases").iterdir():
            if path.name != first:
                shutil.rmtree(path)
                (root / "shared" / RECORDS / f"{path.name}.json").unlink(missing_ok=True)
    yard.fab("deploy")
    good = yard.only()
    yard.commit("exit")
    # When the bad one is deployed, and the settings say that it is to be rolled back
    yard.settings(auto_rollback=True)
    done = yard.fab("deploy", code=12)
    # Then everything runs the release before, and the bad one is marked
    assert yard.only() == good
    assert "this release is broken" in done.stderr
    assert "rolled back from" in done.stderr
    assert "host1 karafka-0 restarted; it is marked bad" in done.stderr
    assert (
        (yard.hosts["host1"] / "revisions.log").read_text().splitlines()[-1].endswith(f"rolled back to release {good}")
    )
    # When it is deployed by settings that leave it to the operator
    yard.settings()
    done = yard.fab("deploy", code=1)
    # Then the table tells what runs where, and the two commands are there
    bad = yard.current()["host1"]
    assert set(yard.current().values()) == {bad}
    rows = [line.split()[:3] for line in done.stdout.splitlines() if line.startswith("host")]
    assert rows == [["host1", bad, "-"], ["host2", bad, good]]
    assert "to go on:   fab test karafka.restart --outdated" in done.stderr
    assert "to go back: fab test deploy.rollback" in done.stderr
    # When it is rolled back by hand, and once more
    yard.fab("test", "deploy.rollback")
    assert yard.only() == good
    yard.fab("test", "deploy.rollback")
    # Then it goes past the bad ones
    assert yard.only() == first
    # And with nothing left to go to, nothing is changed
    refused = yard.fab("test", "deploy.rollback", code=1)
    assert "there is nothing to roll back to" in refused.stderr
    assert yard.only() == first


def test_a_host_that_cannot_be_reached_keeps_a_deploy_from_beginning(yard: Yard) -> None:
    # Given two hosts, one of which is down
    before = yard.current()
    folders = releases(yard)
    yard.fleet.hosts[1].stop()
    # When a deploy is begun
    try:
        done = yard.fab("deploy", code=4)
    finally:
        yard.fleet.hosts[1].start()
    # Then it names the host, and nothing is moved anywhere
    assert "host2" in done.stderr
    assert "current was not touched" in done.stderr
    assert yard.current() == before
    assert releases(yard) == folders


def test_two_hosts_that_share_a_folder_are_told_so_before_a_deploy_begins(yard: Yard) -> None:
    # Given two hosts whose folder is the same one, as on a network file system
    shared = yard.folder / "network"
    hosts = [
        {"host": one.name, "address": one.files.address, "port": one.files.port, "user": one.files.user}
        for one in yard.fleet.hosts
    ]
    yard.settings(stages={"test": {"hosts": [{**one, "deploy_to": str(shared)} for one in hosts]}})
    # When a deploy is begun
    done = yard.fab("deploy", code=1)
    # Then one of them is refused, with the reason, and there is no release
    assert "two hosts cannot share one" in done.stderr, done.stderr
    assert not list(shared.glob("releases/*"))


def test_a_build_that_fails_leaves_current_alone_and_its_last_lines_are_shown(yard: Yard) -> None:
    # Given a build step that fails
    yard.settings(build="sh -c 'echo compiling; echo no such header; exit 2'")
    before = yard.current()
    # When a deploy comes to it
    done = yard.fab("deploy", code=1)
    # Then its words are there, current is where it was, and the release is marked
    assert "the build failed" in done.stderr
    assert "  | no such header" in done.stderr
    assert yard.current() == before
    assert "bad" in yard.fab("deploy.releases").stdout


def test_a_deploy_whose_reader_leaves_after_a_line_goes_on_to_its_end(yard: Yard) -> None:
    # Given a commit to be deployed
    sha = yard.commit("again")
    # When it is deployed as `fab deploy --json 2>&1 | head -1` does it
    with subprocess.Popen(
        yard.argv("deploy", "--json"), cwd=yard.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as operator:  # fmt: skip
        assert operator.stdout is not None
        assert operator.stdout.readline()
        operator.stdout.close()
        # Then it ends as with a reader, and everything runs the release
        assert operator.wait(90) == 0
    assert (yard.hosts["host1"] / "releases" / yard.only() / "REVISION").read_text().strip() == sha


def test_a_host_that_has_seen_a_higher_lease_than_there_is_is_changed_again_after_unlock(yard: Yard) -> None:
    # Given a host that has seen a number of a clock far ahead, which the stage's keeper does not know of any more
    far = int(time.time()) + 400_000_000
    assert FenceRecord(yard.hosts["host2"] / "shared").admit(Fence(far, "ann@here pid 1")) == ""
    # Then it refuses whoever has the lease, and names what helps
    refused = yard.fab("karafka.restart", code=10)
    assert f"taken over by ann@here pid 1 (number {far})" in refused.stderr
    assert "fab karafka.unlock" in refused.stdout, refused.stdout
    # When it is unlocked, which asks nobody as nobody has it
    done = yard.fab("karafka.unlock")
    assert f"host2 has seen number {far}" in done.stderr
    assert done.stdout == "lifted\n"
    # Then all hosts can be changed, and there is nothing more to lift
    yard.fab("karafka.start")
    assert "nobody has the lease" in yard.fab("karafka.unlock").stdout


def test_of_two_deploys_that_race_exactly_one_wins(yard: Yard) -> None:
    # Given a deploy that waits in the middle
    flag = yard.folder / "go"
    yard.hook("before-publishing", f"while [ ! -e {flag} ]; do sleep 0.05; done")
    with yard.operator("deploy") as first:
        first.until("hook before-publishing")
        # When another one is begun
        second = yard.fab("deploy", code=10)
        # Then it is refused by name, and changes nothing
        assert f"pid {first.process.pid} has the lease, for 'deploy'" in second.stderr
        flag.touch()
        # And the first one wins
        assert first.end() == 0, first.err
    flag.unlink()
    assert yard.only() in first.out


@pytest.mark.parametrize(
    ("stages", "leave"),
    [
        pytest.param(STAGES[PUBLISHED - 1 : PUBLISHED + 1], signal.SIGKILL, id="around the switch"),
        pytest.param(STAGES, signal.SIGKILL, id="all", marks=pytest.mark.soak),
        pytest.param(STAGES, signal.SIGSTOP, id="all, standing still", marks=pytest.mark.soak),
    ],
)
def test_an_operator_that_is_killed_in_whatever_stage_leaves_nothing_to_clean_up(
    yard: Yard, stages: list[str], leave: signal.Signals
) -> None:
    # Given one host, a repository that moves on, and a build that takes its time
    sha, root, flag = yard.commit("again"), yard.hosts["host1"], yard.folder / "wait"
    yard.settings(build=["sh", "-c", "echo at work; sleep 170"])
    with yard.operator("deploy", "--hosts", "host1") as operator:
        # When the operator is killed while the host builds
        operator.until("host1 build | at work")
        kill(yard, operator, leave)
        before = yard.current()["host1"]
    # Then what goes on there without it is ended by the next one, which is not kept waiting
    yard.settings()
    for stage in stages:
        # When it is killed in a stage
        flag.touch()
        hook = yard.hook(f"before-{stage}", f"while [ -e {flag} ]; do sleep 0.02; done")
        with yard.operator("deploy", "--hosts", "host1") as operator:
            operator.until(f"hook before-{stage}")
            kill(yard, operator, leave)
        flag.unlink()
        hook.unlink()
        # Then current leads to a release that is whole: the one before, or from `published` on the new one
        assert (root / "current/program.py").exists()
        assert (yard.current()["host1"] > before) == (STAGES.index(stage) >= PUBLISHED)
    # And the next deploy goes through, with nothing else to be done
    yard.fab("deploy")
    assert yard.only()
    assert (root / "current/REVISION").read_text().strip() == sha


class Moment:
    """A moment of a deploy that takes long enough to meet: as the test makes it, and as it is known to be there."""

    def __init__(self, yard: Yard) -> None:
        self.yard = yard
        self.arguments: tuple[str, ...] = ()
        self.silent = socket.create_server(("127.0.0.1", 0))

    def prepare(self) -> None:
        """Let the deploy stand there."""

    def come(self, operator: Operator) -> None:
        """Wait until it does."""
        raise NotImplementedError

    def tidy(self) -> None:
        """Let the next deploy go on."""
        self.silent.close()
        self.yard.tidy()


class Resolving(Moment):
    """Git waits for a server that says nothing."""

    def prepare(self) -> None:
        self.yard.settings(repo_url=f"git://127.0.0.1:{self.silent.getsockname()[1]}/nothing")

    def come(self, operator: Operator) -> None:
        operator.until("deploy:started")
        self.silent.settimeout(30)
        self.silent.accept()


class Uploading(Moment):
    """A part of the artifact is there."""

    def prepare(self) -> None:
        packed = self.yard.folder / "large.tar.gz"
        with tarfile.open(packed, "w:gz", compresslevel=0) as archive:
            entry = tarfile.TarInfo("data")
            entry.size = 100_000_000
            with Path("/dev/urandom").open("rb") as noise:
                archive.addfile(entry, noise)
        self.arguments = ("--artifact", str(packed))

    def come(self, operator: Operator) -> None:
        roots = self.yard.hosts.values()
        assert Deadline(60).poll(
            lambda: any((one / "data").exists() for root in roots for one in (root / "releases").iterdir()),
            every=0.001,
        )
        assert operator.process.poll() is None


class Building(Moment):
    """Hosts build, and what they build has children that ignore TERM."""

    def prepare(self) -> None:
        self.yard.settings(build=["sh", "-c", "trap '' TERM; sleep 170 & echo at work; wait"])

    def come(self, operator: Operator) -> None:
        operator.until("build | at work")


class HookOnHosts(Moment):
    """Hosts run a hook."""

    def prepare(self) -> None:
        self.yard.settings(hooks={"after-updated": {"on": "hosts"}})
        self.yard.hook("after-updated", "echo at work; sleep 170")

    def come(self, operator: Operator) -> None:
        operator.until("after-updated | at work")


class HookHere(Moment):
    """The operator's machine runs a hook: after the switch, before any restart."""

    def prepare(self) -> None:
        self.flag = self.yard.folder / "wait"
        self.flag.touch()
        self.yard.hook("after-published", f"echo at work; while [ -e {self.flag} ]; do sleep 0.02; done")

    def come(self, operator: Operator) -> None:
        operator.until("after-published | at work")

    def tidy(self) -> None:
        self.flag.unlink()
        super().tidy()


class Restarting(Moment):
    """A host waits for a process to be ready."""

    def prepare(self) -> None:
        (self.yard.source / "program.py").write_text(f"import time\ntime.sleep(8)\n{STANDING}")
        self.yard.git("commit", "--quiet", "--all", "--message", "slow")

    def come(self, operator: Operator) -> None:
        operator.until("host1 karafka-0: spawned")


@pytest.mark.parametrize(
    ("kind", "leave"),
    [
        pytest.param(kind, leave, marks=() if (kind, leave) == (Uploading, signal.SIGSTOP) else pytest.mark.soak)
        for kind in (Uploading, Resolving, Building, HookOnHosts, HookHere, Restarting)
        for leave in (signal.SIGKILL, signal.SIGSTOP)
    ],
)
def test_an_operator_that_dies_or_vanishes_in_the_middle_of_a_step_keeps_nobody_waiting(
    yard: Yard, kind: type[Moment], leave: signal.Signals
) -> None:
    # Given a deploy in the middle of a step
    moment = kind(yard)
    moment.prepare()
    with yard.operator("deploy", *moment.arguments) as operator:
        moment.come(operator)
        # When its operator dies, or stands still with its connections open as if its machine had vanished
        kill(yard, operator, leave)
        moment.tidy()
        sha = yard.commit("again")
        # And its lease is over
        began = time.monotonic()
        yard.fab("deploy")
        # Then the next deploy goes through, and does not wait for what is left of it
        assert time.monotonic() - began < 45
        assert (yard.hosts["host1"] / "releases" / yard.only() / "REVISION").read_text().strip() == sha
        # And one that wakes up does nothing more
        if leave is signal.SIGSTOP:
            os.killpg(operator.process.pid, signal.SIGCONT)
            assert operator.end() != 0
    assert (yard.hosts["host1"] / "releases" / yard.only() / "REVISION").read_text().strip() == sha


@pytest.mark.soak
def test_the_deploy_after_one_that_was_killed_goes_through_within_the_leases_minute(yard: Yard) -> None:
    # Given an operator that is killed while its hosts build
    moment = Building(yard)
    moment.prepare()
    with yard.operator("deploy") as operator:
        moment.come(operator)
        os.killpg(operator.process.pid, signal.SIGKILL)
        killed = time.monotonic()
    moment.tidy()
    # When somebody deploys who waits
    yard.fab("deploy", "--lock-wait", "120")
    # Then the lease has ended within its minute, and nothing that the dead one left took any more time
    assert time.monotonic() - killed < 60 + 30
    assert yard.only()


@needs(SSHD)
@pytest.mark.soak
def test_a_deploy_whose_open_connections_all_fall_silent_keeps_its_lease_and_goes_on(yard: Yard) -> None:
    # Given a deploy in a hook, and connections that all fall silent and do not break, as after a change of networks
    moment = HookHere(yard)
    moment.prepare()
    with yard.operator("deploy") as operator:
        moment.come(operator)
        servers = [one.daemon for one in yard.fleet.hosts if one.daemon is not None]
        silent = [child for one in servers for child in psutil.Process(one.identity.pid).children(recursive=True)]
        for one in silent:
            one.suspend()
        # When more than its lease's minute is over
        keeper = LeaseKeeper(yard.hosts["host1"] / "shared")
        show = LeaseCall(LeaseAction.SHOW)
        assert not Deadline(75).poll(lambda: not keeper.answer(show).lease.held, every=0.5)
        moment.flag.unlink()
        # Then it has it still, and goes on to its end by other connections
        assert operator.end() == 0, operator.err
    assert yard.only()
    for one in silent:
        with suppress(psutil.Error):
            one.kill()


def kill(yard: Yard, operator: Operator, number: signal.Signals = signal.SIGKILL) -> None:
    """Kill it as nothing else does, and let its lease be over at once instead of in a minute."""
    os.killpg(operator.process.pid, number)
    call = LeaseCall(LeaseAction.BREAK, holder="test", reason="its minute is over")
    LeaseKeeper(yard.hosts["host1"] / "shared").answer(call)
