"""Agents that die, and operators that go, in the middle of it."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.protocol import Event, Verb, decode_line
from ops.core.states import State
from tests.labs.node_host import NodeHost


def first_event(agent: subprocess.Popen[str]) -> Event:
    assert agent.stdout is not None
    assert agent.stdout.readline() == "\n"
    event = decode_line(agent.stdout.readline())
    assert isinstance(event, Event)
    return event


def test_a_process_whose_agent_was_killed_while_it_started_becomes_right(host: NodeHost) -> None:
    # Given a consumer that is starting, and says so itself
    spec = host.spec("--ready-after", "0.5", "--state", "starting")
    agent = host.agent(Verb.START, spec)
    assert first_event(agent).step == "spawned"
    # When the agent is killed
    agent.kill()
    agent.wait()
    # Then status says starting, by the consumer's own word
    assert Deadline(20).poll(Path(spec.files.status).exists)
    assert host.one(Verb.STATUS, spec).consumer["state"] == "starting"
    assert host.one(Verb.STATUS, spec).state is State.STARTING
    # And running, as soon as the consumer says so
    process = Identity.of(host.one(Verb.STATUS, spec).pid)
    text = Path(spec.files.status).read_text()
    Path(spec.files.status).write_text(text.replace("starting", "running"))
    assert host.one(Verb.STATUS, spec).state is State.RUNNING
    # And another start leaves it alone
    report = host.one(Verb.START, spec)
    assert (report.ok, report.pid, report.message) == (True, process.pid, "already running")


def test_a_foreign_command_whose_agent_was_killed_while_it_started_counts_as_running_after_a_second(
    host: NodeHost,
) -> None:
    # Given a foreign command in its first second
    spec = host.spec(command=("sleep", "300"), readiness="alive")
    agent = host.agent(Verb.START, spec)
    assert first_event(agent).step == "spawned"
    # When the agent is killed, then it runs all the same
    agent.kill()
    agent.wait()
    assert host.until(spec, State.RUNNING) == [State.RUNNING]
    assert host.one(Verb.START, spec).message == "already running"


def test_a_process_that_cannot_say_so_is_running_and_unproven_after_its_time(host: NodeHost) -> None:
    # Given a command that says READY=1 to an agent that was killed, and writes no status record
    spec = host.spec("--ready-after", "0.3", start_timeout_seconds=4.0)
    agent = host.agent(Verb.START, spec)
    assert first_event(agent).step == "spawned"
    agent.kill()
    agent.wait()
    # Then status calls it starting for as long as it may take, then running, and says what is not known
    assert host.until(spec, State.STARTING, State.RUNNING) == [State.STARTING, State.RUNNING]
    assert host.one(Verb.STATUS, spec).message == "its start was broken off: not proven ready"
    # And a restart makes it right
    assert host.one(Verb.RESTART, spec).ok
    assert host.one(Verb.STATUS, spec).message == ""


def test_a_stop_whose_agent_was_killed_can_be_finished_by_another(host: NodeHost) -> None:
    # Given a process that ignores TERM, and an agent killed while it waited for it
    spec = host.spec("--ignore-term", stop_timeout_seconds=2.0)
    pid = host.one(Verb.START, spec).pid
    agent = host.agent(Verb.STOP, spec)
    assert first_event(agent).step == "asked to stop"
    agent.kill()
    agent.wait()
    # Then status says stopping while it may, and after that the truth
    assert host.until(spec, State.STOPPING, State.RUNNING) == [State.STOPPING, State.RUNNING]
    assert host.one(Verb.STATUS, spec).message == "its stop was broken off: it has not ended"
    # And another stop ends it
    assert host.one(Verb.STOP, spec).message.startswith("killed after ")
    assert Identity.of(pid) is None


def test_a_start_after_a_broken_stop_starts_when_the_old_one_has_drained(host: NodeHost) -> None:
    # Given a process that drains, and an agent killed while it waited for it
    spec = host.spec("--drain-seconds", "1.0", "--state", "running")
    pid = host.one(Verb.START, spec).pid
    agent = host.agent(Verb.STOP, spec)
    assert first_event(agent).step == "asked to stop"
    agent.kill()
    agent.wait()
    # When it is started, then the new one comes after the old one
    report = host.one(Verb.START, spec)
    assert (report.ok, report.state) == (True, State.RUNNING)
    assert report.pid != pid
    assert Identity.of(pid) is None


def test_an_agent_whose_operator_is_gone_finishes_what_it_began(host: NodeHost) -> None:
    # Given a restart whose operator hangs up after the first event
    spec = host.spec("--drain-seconds", "0.5", "--ready-after", "0.3")
    pid = host.one(Verb.START, spec).pid
    agent = host.agent(Verb.RESTART, spec)
    assert first_event(agent).step == "asked to stop"
    agent.stdout.close()
    agent.stdin.close()
    agent.stderr.close()
    agent.send_signal(signal.SIGHUP)
    # Then the agent ends in peace, and the process was restarted
    assert agent.wait(timeout=30) == 0
    report = host.one(Verb.STATUS, spec)
    assert report.state is State.RUNNING
    assert report.pid != pid


@pytest.mark.parametrize("numbers", [(signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM, signal.SIGINT)])
def test_what_asks_an_agent_to_end_lets_the_step_end_and_names_what_was_not_done(
    host: NodeHost, numbers: tuple[signal.Signals, ...]
) -> None:
    # Given three processes restarted one after the other
    specs = [host.spec("--drain-seconds", "0.5", index=index) for index in range(3)]
    before = [report.pid for report in host.ask(Verb.START, *specs).processes]
    agent = host.agent(Verb.RESTART, *specs, at_once=False)
    assert first_event(agent).process == "karafka-0"
    # When the agent is interrupted at the first one
    for number in numbers:  # as the end of its session does by TERM
        agent.send_signal(number)
        time.sleep(0.1)
    _, response = host.answer(agent)
    # Then the first was restarted, the others were left alone, and the answer says so
    assert response.error == "interrupted"
    done, *others = response.processes
    assert done.ok
    assert done.pid != before[0]
    assert [(one.ok, one.message, one.pid) for one in others] == [
        (False, "not attempted: interrupted", pid) for pid in before[1:]
    ]


def test_the_log_of_a_killed_agents_process_goes_on(host: NodeHost) -> None:
    # Given a process whose agent is long gone
    spec = host.spec("--drain-seconds", "0.1")
    pid = host.one(Verb.START, spec).pid
    # When it writes
    Identity.of(pid).send(signal.SIGTERM)
    # Then its log has it
    assert Deadline(10).poll(lambda: "TERM" in Path(spec.files.log).read_text())
