"""Stopping real processes, willing and not."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.locks import Byte, holder_of
from ops.core.protocol import Verb
from ops.core.states import State
from tests.labs.node_host import NodeHost


def test_stopping_what_does_not_run_is_a_success(host: NodeHost) -> None:
    # Given a slot that was never used
    report = host.one(Verb.STOP, host.spec())
    # Then a stop says so and is fine
    assert (report.ok, report.state, report.message) == (True, State.STOPPED, "not running")


def test_a_process_may_take_its_time_to_drain(host: NodeHost) -> None:
    # Given a process that drains for half a second
    spec = host.spec("--drain-seconds", "0.5")
    pid = host.one(Verb.START, spec).pid
    # When it is stopped
    report = host.one(Verb.STOP, spec)
    # Then it ended by itself, and its slot is free
    assert report.ok
    assert report.message.startswith("ended after ")
    assert Identity.of(pid) is None
    assert holder_of(Path(spec.files.lock), Byte.OWNER) is None


def test_a_process_that_ignores_term_is_killed_and_that_is_said(host: NodeHost) -> None:
    # Given a process that ignores TERM
    spec = host.spec("--ignore-term", stop_timeout_seconds=0.5)
    pid = host.one(Verb.START, spec).pid
    # When it is stopped
    events, response = host.answer(host.agent(Verb.STOP, spec))
    # Then it was killed after its time, and the report says so
    assert [event.step for event in events] == ["asked to stop", "killed", "stopped"]
    assert response.processes[0].ok
    assert re.match(r"killed after \d+\.\d s: it did not end on TERM", response.processes[0].message)
    assert Identity.of(pid) is None


def test_a_frozen_process_is_shown_as_frozen_and_killed(host: NodeHost) -> None:
    # Given a process frozen by SIGSTOP
    spec = host.spec(stop_timeout_seconds=0.5)
    identity = Identity.of(host.one(Verb.START, spec).pid)
    identity.send(signal.SIGSTOP)
    stat = Path(f"/proc/{identity.pid}/stat")
    assert Deadline(5).poll(lambda: stat.read_text().split()[2] == "T")
    # Then status says so
    assert "frozen by a signal" in host.one(Verb.STATUS, spec).message
    # And a stop falls to KILL, and says why
    report = host.one(Verb.STOP, spec)
    assert report.ok
    assert re.match(r"killed after \d+\.\d s: it was frozen", report.message)
    assert not identity.alive()


@pytest.mark.parametrize(("flags", "text"), [((), "ended too"), (("--stubborn-children",), "2 of them killed")])
def test_children_that_outlive_their_parent_are_ended(host: NodeHost, flags: tuple[str, ...], text: str) -> None:
    # Given a process with two children that it does not end itself
    spec = host.spec("--children", "2", *flags, stop_timeout_seconds=1.0)
    host.one(Verb.START, spec)
    assert len(host.processes()) == 3
    # When it is stopped
    report = host.one(Verb.STOP, spec)
    # Then nothing of its session is left, and the report counts them
    assert report.ok
    assert "2 processes that it had started ended too" in report.message
    assert text in report.message
    assert host.processes() == []


def test_a_process_that_closed_the_slots_descriptor_is_known_by_its_identity(host: NodeHost) -> None:
    # Given a command that closes every descriptor it inherited, and so gave up the slot's lock
    spec = host.spec("--close-descriptors")
    report = host.one(Verb.START, spec)
    assert holder_of(Path(spec.files.lock), Byte.OWNER) is None
    # Then status and start still know it
    assert (host.one(Verb.STATUS, spec).state, host.one(Verb.STATUS, spec).pid) == (State.RUNNING, report.pid)
    assert host.one(Verb.START, spec).message == "already running"
    # And a stop ends it
    assert host.one(Verb.STOP, spec).ok
    assert Identity.of(report.pid) is None


def test_a_process_that_drains_already_is_not_asked_again(host: NodeHost) -> None:
    # Given a consumer that somebody told to stop, and that says it drains
    spec = host.spec("--state", "running", "--drain-seconds", "4")
    identity = Identity.of(host.one(Verb.START, spec).pid)
    assert host.one(Verb.STATUS, spec).consumer["state"] == "running"
    identity.send(signal.SIGTERM)
    assert host.until(spec, State.STOPPING) == [State.STOPPING]
    # When it is stopped
    events, response = host.answer(host.agent(Verb.STOP, spec))
    # Then it got one TERM in all, and ended in its own time
    assert [event.step for event in events] == ["waiting", "stopped"]
    assert response.processes[0].message.startswith("ended after")
    assert Path(spec.files.log).read_text().count("TERM\n") == 1


def test_without_a_proven_stop_nothing_is_started(host: NodeHost) -> None:
    # Given a slot whose owner byte passes to a bystander when the process ends
    spec = host.spec("--drain-seconds", "0.3", stop_timeout_seconds=5.0)
    first = host.one(Verb.START, spec)
    bystander = host.bystander(spec)
    # When it is restarted
    report = host.one(Verb.RESTART, spec)
    # Then the restart says who has the slot, and started nothing
    assert not report.ok
    assert f"process {bystander.pid}" in report.message
    assert report.pid == bystander.pid
    assert Identity.of(first.pid) is None
    assert len(host.processes()) == 0
