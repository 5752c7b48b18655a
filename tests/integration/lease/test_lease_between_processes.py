"""The lease between real processes, through real agents."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from ops.core.deadline import Deadline
from ops.core.errors import ExitCode, LockHeldError, OpsError
from ops.core.lease import Fence, LeaseAction, LeaseCall
from ops.core.protocol import Event, ProcessSpec, Request, Response, Verb
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State
from ops.fleet.conversation import ask
from ops.fleet.lease_host import LeaseHost
from ops.fleet.plan import HostAction
from ops.fleet.transport import Target
from ops.fleet.transport.local import LocalTransport
from ops.node.managers.pidfile import PidfileManager
from tests.labs.signals import in_background

OPERATOR = Path(__file__).with_name("operator_process.py")
AGENT = (sys.executable, "-P", "-m", "ops.node")
TARGET = Target("h1", "h1")
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def host(tmp_path: Path) -> LeaseHost:
    return LeaseHost(LocalTransport(), TARGET, AGENT, str(tmp_path / "shared"))


@pytest.fixture
def operator(host: LeaseHost) -> Iterator[Start]:
    """Starts operators; `operator(ttl_seconds, wait_seconds)`."""
    started: list[subprocess.Popen[str]] = []

    def start(ttl_seconds: float = 60.0, wait_seconds: float = 0.0) -> subprocess.Popen[str]:
        command = [sys.executable, str(OPERATOR), host.shared, str(ttl_seconds), str(wait_seconds)]
        environ = {**os.environ, "OPERATOR_OF": host.shared}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, env=environ)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def marked(shared: str) -> list[int]:
    """Find operators and their agents by their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("OPERATOR_OF") == shared:
                found.append(process.pid)
    return found


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_of_many_who_race_one_wins_and_the_others_name_it(host: LeaseHost, operator: Start) -> None:
    # Given five operators who all want it at once
    some = [operator() for _ in range(5)]
    lines = [first_line(process) for process in some]
    # Then one has it
    winners = [process for process, line in zip(some, lines, strict=True) if line.isdigit()]
    assert len(winners) == 1
    # And the others end with the exit code of a lock, and name it
    for process, line in zip(some, lines, strict=True):
        if process is not winners[0]:
            assert process.wait(30) == ExitCode.LOCK_HELD
            assert f"pid {winners[0].pid} has the lease, for 'test', since " in line
    assert f"pid {winners[0].pid}" in host.show().lease.holder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_one_that_is_told_to_end_gives_it_back(host: LeaseHost, operator: Start, number: signal.Signals) -> None:
    # Given an operator at work
    process = operator()
    assert first_line(process).isdigit()
    # When it is told to end
    process.send_signal(number)
    # Then it ends as by Ctrl-C, and the lease is free at once
    assert process.wait(30) == -signal.SIGINT
    assert host.show().lease.ended == "released by its owner"


def test_one_in_the_background_hears_term_alone_and_gives_it_back(host: LeaseHost, operator: Start) -> None:
    # Given an operator in a script's background, below nohup
    with in_background():
        process = operator()
    assert first_line(process).isdigit()
    # When it is asked to end by what it ignores, then it goes on
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGHUP)
    assert not Deadline(0.5).poll(lambda: process.poll() is not None)
    assert host.show().lease.ended == ""
    # When TERM comes, then it ends as by Ctrl-C, and the lease is free at once
    process.terminate()
    assert process.wait(30) == -signal.SIGINT
    assert host.show().lease.ended == "released by its owner"


def test_after_kill_9_it_is_free_when_its_time_is_over_and_not_before(host: LeaseHost, operator: Start) -> None:
    # Given an operator that is killed, and one that waits
    first = operator(ttl_seconds=3.0)
    number = int(first_line(first))
    first.kill()
    killed = time.monotonic()
    left = host.show().lease.expires_seconds
    assert left > 0
    # When the time is over
    second = operator(wait_seconds=60.0)
    taken = int(first_line(second))
    # Then the other one has it, not earlier, under a higher number
    assert time.monotonic() - killed >= left
    assert taken > number


def test_one_that_waits_too_long_is_refused(host: LeaseHost, operator: Start) -> None:
    # Given a lease that is held on
    assert first_line(operator()).isdigit()
    # When another one waits a second for it
    began = time.monotonic()
    second = operator(wait_seconds=1.0)
    line = first_line(second)
    # Then it waited, and is refused
    assert second.wait(30) == ExitCode.LOCK_HELD
    assert time.monotonic() - began > 1
    assert "has the lease" in line
    assert host.show().lease.held


class Slots:
    """A host's processes, asked for under leases."""

    def __init__(self, root: Path, shared: str) -> None:
        self.shared = shared
        (root / "current").mkdir()
        slots = [Slot("karafka", index) for index in range(2)]
        self.specs = tuple(
            ProcessSpec(
                name=str(slot),
                command=("sleep", "300"),
                directory=str(root / "current"),
                files=SlotFiles.below(shared, "tmp/pids/karafka.pid", slot),
                readiness="alive",
            )
            for slot in slots
        )

    def ask(self, verb: Verb, fence: Fence | None, emit: Callable[[Event], None] = lambda _: None) -> Response:
        request = Request(verb, "h1", self.specs, at_once=False, shared=self.shared, fence=fence)
        return ask(LocalTransport(), HostAction(TARGET, AGENT, request, 60.0), emit)

    def pids(self) -> list[int | None]:
        manager = PidfileManager()
        return [manager.status(spec).pid for spec in self.specs]


@pytest.fixture
def slots(tmp_path: Path, host: LeaseHost) -> Iterator[Slots]:
    made = Slots(tmp_path, host.shared)
    yield made
    made.ask(Verb.STOP, None)


def test_a_host_does_nothing_for_an_operator_whose_lease_went_to_somebody_else(slots: Slots) -> None:
    # Given processes that were started under a lease, and a later one that only looked
    old, new = Fence(7, "ann@here pid 1"), Fence(8, "ben@there pid 2")
    assert all(report.ok for report in slots.ask(Verb.START, old).processes)
    pids = slots.pids()
    slots.ask(Verb.STATUS, new)
    # When the first operator wakes up
    for verb in (Verb.RESTART, Verb.STOP, Verb.START):
        with pytest.raises(LockHeldError, match=r"h1: your lease \(number 7\) was taken over by ben@there pid 2"):
            slots.ask(verb, old)
    # Then nothing has happened, while it may look
    assert slots.pids() == pids
    assert [report.state for report in slots.ask(Verb.STATUS, old).processes] == [State.RUNNING] * 2
    # And the later one may work
    assert all(report.ok for report in slots.ask(Verb.STOP, new).processes)


def test_an_operator_who_is_overtaken_in_the_middle_ends_there(slots: Slots) -> None:
    # Given a restart of one process after the other
    old, new = Fence(7, "ann@here pid 1"), Fence(8, "ben@there pid 2")
    slots.ask(Verb.START, old)
    pids = slots.pids()

    def overtake(event: Event) -> None:
        if (event.process, event.step) == ("karafka-0", "spawned"):
            slots.ask(Verb.STATUS, new)

    # When somebody else gets the lease while the first one is restarted
    reports = slots.ask(Verb.RESTART, old, overtake).processes
    # Then that step is finished, and the next one not begun
    assert [report.ok for report in reports] == [True, False]
    assert reports[1].message.startswith("not attempted: your lease (number 7) was taken over by ben@there pid 2")
    now = slots.pids()
    assert now[0] not in (None, pids[0])
    assert now[1] == pids[1]


def test_a_folder_that_cannot_be_written_is_said_in_full(tmp_path: Path, host: LeaseHost) -> None:
    # Given a host where shared/tmp is a file
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "tmp").write_text("")
    # Then nobody gets the lease, and the error says why
    with pytest.raises(OpsError, match=r"lease.json: cannot be locked: .*; nothing was changed"):
        host.ask(LeaseCall(LeaseAction.ACQUIRE, key="key"))


def test_operators_leave_no_process_behind(host: LeaseHost, operator: Start) -> None:
    # Given an operator that renewed its lease some times
    process = operator(ttl_seconds=0.9)
    assert first_line(process).isdigit()
    since = host.show().lease.since
    assert process.pid in marked(host.shared)
    assert Deadline(20).poll(lambda: (host.show().lease.held_seconds or 0) > 2, every=0.5)
    assert host.show().lease.since == since
    # When it ends
    process.terminate()
    process.wait(30)
    # Then none of its agents is left
    assert marked(host.shared) == []
