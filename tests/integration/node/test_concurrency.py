"""Several agents at one slot."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core.locks import Byte, SlotLock
from ops.core.protocol import Verb
from ops.core.states import State
from tests.labs.node_host import NodeHost


@pytest.mark.parametrize("agents", [2, 10])
def test_of_many_concurrent_starts_one_wins(host: NodeHost, agents: int) -> None:
    # Given agents that are all asked to start the same process
    spec = host.spec("--ready-after", "0.5", start_timeout_seconds=90.0)
    running = [host.agent(Verb.START, spec) for _ in range(agents)]
    # When all have answered
    reports = [host.answer(agent)[1].processes[0] for agent in running]
    # Then one started it, and the others found it running
    assert all(report.ok for report in reports)
    assert len({report.pid for report in reports}) == 1
    messages = [report.message for report in reports]
    assert messages.count("already running") == agents - 1
    assert sum(message.startswith("ready after") for message in messages) == 1
    assert len(host.processes()) == 1
    # And it was started once, not tried and ended
    assert Path(spec.files.log).read_text().count("environment ") == 1


def test_starts_and_stops_at_once_end_in_a_state_that_is_true(host: NodeHost) -> None:
    # Given starts, stops and restarts that all go on at once
    spec = host.spec(start_timeout_seconds=60.0, stop_timeout_seconds=60.0)
    verbs = [Verb.START, Verb.STOP, Verb.RESTART, Verb.START, Verb.STOP, Verb.RESTART]
    running = [host.agent(verb, spec) for verb in verbs]
    # When all have answered
    reports = [host.answer(agent)[1].processes[0] for agent in running]
    # Then each got what it asked for, one after the other
    assert all(report.ok for report in reports), reports
    # And status, the pidfile and the process table agree on the outcome
    status = host.one(Verb.STATUS, spec)
    alive = [process.pid for process in host.processes()]
    assert alive == ([status.pid] if status.state is State.RUNNING else [])
    assert status.state in (State.RUNNING, State.STOPPED)
    assert Path(spec.files.pidfile).exists() == (status.state is State.RUNNING)


def test_an_agent_that_waits_in_vain_names_the_one_it_waited_for(host: NodeHost) -> None:
    # Given somebody who is at the slot and does not end
    spec = host.spec(start_timeout_seconds=0.1, stop_timeout_seconds=0.1)
    with SlotLock(Path(spec.files.lock)) as lock:
        assert lock.try_take(Byte.OPERATION)
        quick = host.agent(Verb.START, spec)
        # When another start waits for it, then status is not held up meanwhile
        assert host.ask(Verb.STATUS, spec).processes[0].state is State.STOPPED  # as a process: we hold it
        # And the start ends with a text that names the holder
        events, response = host.answer(quick)
        assert events[0].detail == f"for agent {os.getpid()}, which is at it"
        assert not response.processes[0].ok
        assert f"process {os.getpid()} has been starting or stopping it" in response.processes[0].message


def test_status_says_starting_and_stopping_while_an_agent_is_at_it(host: NodeHost) -> None:
    # Given a process that takes its time to be ready and to drain
    spec = host.spec("--ready-after", "1.5", "--drain-seconds", "1.5")
    starting = host.agent(Verb.START, spec)
    # Then status says starting until it is ready
    assert host.until(spec, State.STARTING, State.RUNNING) == [State.STARTING, State.RUNNING]
    host.answer(starting)
    # And stopping until it has ended
    stopping = host.agent(Verb.STOP, spec)
    assert host.until(spec, State.STOPPING, State.STOPPED) == [State.STOPPING, State.STOPPED]
    host.answer(stopping)


def test_a_slot_started_by_somebody_else_is_left_alone(host: NodeHost) -> None:
    # Given a slot whose owner byte a process holds that no agent started, without a pidfile
    spec = host.spec()
    owner = host.bystander(spec)
    assert host.until(spec, State.RUNNING) == [State.RUNNING]
    # When it is started, then it counts as running
    report = host.one(Verb.START, spec)
    assert (report.ok, report.pid, report.message) == (True, owner.pid, "already running")
    # And a stop ends it
    assert host.one(Verb.STOP, replace(spec, stop_timeout_seconds=5.0)).ok
    assert owner.wait(timeout=5) < 0
