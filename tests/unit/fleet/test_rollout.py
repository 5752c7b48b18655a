"""Carrying a plan out: batches, failures, Ctrl-C, every host in the report."""

from __future__ import annotations

import json
import signal
import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ops.core.errors import OpsError, UnreachableError
from ops.core.interrupts import ASKS
from ops.core.protocol import Event, ProcessReport, Response, Verb, encode_line
from ops.core.section import load
from ops.core.states import State
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import Plan, make_plan
from ops.fleet.report import Kind, Outcome, Report
from ops.fleet.rollout import LeftError, carry_out
from ops.fleet.transport import Exit
from ops.fleet.transport.fake import Answer, FakeTransport
from tests.labs.signals import in_background


class Notes:
    """Takes notes, and may do something as soon as an interrupt is told."""

    def __init__(self, on_interrupt: Callable[[], object] = lambda: None) -> None:
        self.on_interrupt = on_interrupt
        self.threads: set[threading.Thread] = set()
        self.events: list[tuple[str, str]] = []
        self.finished_hosts: list[str] = []
        self.interrupts: list[tuple[str, ...]] = []

    def event(self, host: str, event: Event) -> None:
        self.events.append((host, event.step))
        self.threads.add(threading.current_thread())

    def finished(self, outcome: Outcome) -> None:
        self.finished_hosts.append(outcome.host)

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        self.interrupts.append(hosts)
        self.on_interrupt()


def plan(verb: Verb, hosts: int, **more: Any) -> Plan:
    section = {"application": "a", "deploy_to": "/srv/a", "command": "run"}
    names = [{"host": f"host{number}"} for number in range(1, hosts + 1)]
    settings = load({**section, **more, "stages": {"test": {"hosts": names}}})
    return make_plan(settings, select(settings, Selection()), verb)


def says(state: State, *, ok: bool = True, steps: tuple[str, ...] = (), **answer: Any) -> Answer:
    lines = [encode_line(Event("karafka-0", step)) for step in steps]
    lines.append(encode_line(Response((ProcessReport("karafka-0", state, ok=ok),))))
    return Answer([f"{line}\n".encode() for line in lines], **answer)


def run(made: Plan, hosts: Mapping[str, Any], notes: Notes | None = None) -> Report:
    return carry_out(made, FakeTransport(hosts), notes or Notes())


UP = says(State.RUNNING)
DOWN = UnreachableError("down", where="host1")


def test_every_host_is_in_the_report_whatever_came_of_it() -> None:
    # Given one host that answers, one that is down, one without an agent
    hosts = {"host1": UP, "host2": DOWN, "host3": Answer([b"hello\n"], Exit(1))}
    # When all of them are asked
    report = run(plan(Verb.STATUS, 3), hosts)
    # Then none hides the others, and nobody's silence counts as an answer
    assert [one.kind for one in report.outcomes] == [Kind.ANSWERED, Kind.UNREACHABLE, Kind.FAILED]
    assert [one.state for outcome in report.outcomes for one in outcome.processes] == [
        State.RUNNING,
        State.UNKNOWN,
        State.UNKNOWN,
    ]
    assert report.exit_code == 4


def test_events_are_told_while_a_host_works_in_the_callers_thread() -> None:
    # Given a host with something to tell
    notes = Notes()
    # When the plan is carried out
    run(plan(Verb.START, 1), {"host1": says(State.RUNNING, steps=("spawned", "ready"))}, notes)
    # Then it was told in order, here
    assert notes.events == [("host1", "spawned"), ("host1", "ready")]
    assert notes.threads == {threading.current_thread()}


@pytest.mark.parametrize(
    ("second", "code"),
    [(says(State.DEAD, ok=False), 1), (UnreachableError("down", where="host2"), 4), (Answer([b"?"], Exit(3)), 1)],
)
def test_the_first_failure_ends_a_rolling_restart(second: Any, code: int) -> None:
    # Given three hosts, the second of which fails
    transport = FakeTransport({"host1": UP, "host2": second, "host3": UP})
    # When they are restarted one after the other
    report = carry_out(plan(Verb.RESTART, 3), transport, Notes())
    # Then the third was left alone, and is named as such
    assert [asked.target.name for asked in transport.asked] == ["host1", "host2"]
    assert report.outcomes[2].kind is Kind.NOT_ATTEMPTED
    assert "host3: not attempted" in report.outcomes[2].trouble
    assert report.exit_code == code


def test_a_failure_keeps_no_host_of_the_same_batch_from_its_turn() -> None:
    # Given more hosts than places in the pool, the first one failing
    hosts = {"host1": DOWN, **{f"host{number}": UP for number in range(2, 8)}}
    # When all are started
    report = run(plan(Verb.START, 7, pool=2), hosts)
    # Then all others are up
    assert [one.kind for one in report.outcomes] == [Kind.UNREACHABLE] + [Kind.ANSWERED] * 6
    assert report.exit_code == 4


def test_no_more_hosts_at_a_time_than_the_pool_has_places() -> None:
    # Given eight hosts that note how many are at work
    working: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def host(*_: Any) -> Answer:
        with lock:
            working.append(1)
            most.append(len(working))
        threading.Event().wait(0.02)
        with lock:
            working.pop()
        return UP

    # When they are asked through a pool of three
    report = run(plan(Verb.STATUS, 8, pool=3), {f"host{number}": host for number in range(1, 9)})
    # Then there were never more than three
    assert report.exit_code == 0
    assert 1 < max(most) <= 3


def test_failed_is_worse_than_unreachable() -> None:
    # When one host fails and another is unreachable
    report = run(plan(Verb.START, 2), {"host1": DOWN, "host2": says(State.STOPPED, ok=False)})
    # Then the exit code is that of the failure
    assert report.exit_code == 1


def test_a_fault_of_our_own_on_one_host_is_an_outcome_too() -> None:
    # Given a transport that breaks on one host in a way nobody foresaw
    def broken(*_: Any) -> Answer:
        raise RuntimeError("bug")

    # When both are asked
    report = run(plan(Verb.STATUS, 2), {"host1": broken, "host2": UP})
    # Then the other one's answer is there
    assert "RuntimeError: bug" in report.outcomes[0].trouble
    assert report.outcomes[1].kind is Kind.ANSWERED


@pytest.mark.parametrize("number", ASKS)
def test_what_asks_it_to_end_lets_the_host_at_work_finish_and_begins_no_other(number: signal.Signals) -> None:
    # Given three hosts, and Ctrl-C, TERM or HUP while the second one works
    hold = threading.Event()
    notes = Notes(hold.set)

    def second(*_: Any) -> Answer:
        signal.pthread_kill(threading.main_thread().ident or 0, number)
        return says(State.RUNNING, hold=hold)

    # When they are restarted
    report = run(plan(Verb.RESTART, 3), {"host1": UP, "host2": second, "host3": UP}, notes)
    # Then the second one's answer is in the report, and the third is named as not attempted
    assert notes.interrupts == [("host2",)]
    assert [one.kind for one in report.outcomes] == [Kind.ANSWERED, Kind.ANSWERED, Kind.NOT_ATTEMPTED]
    assert "interrupted" in report.outcomes[2].trouble
    assert report.exit_code == 130


def test_the_second_ctrl_c_leaves_the_host_at_work() -> None:
    # Given a host that takes for ever, and an impatient user
    notes = Notes(lambda: signal.raise_signal(signal.SIGINT))

    def slow(*_: Any) -> Answer:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return says(State.RUNNING, steps=("asked to stop",), hold=threading.Event())

    # When it is restarted
    report = run(plan(Verb.RESTART, 2), {"host1": slow, "host2": UP}, notes)
    # Then the command ends, and says how far it was
    assert [one.kind for one in report.outcomes] == [Kind.FAILED, Kind.NOT_ATTEMPTED]
    assert "left while it worked" in report.outcomes[0].trouble
    assert report.exit_code == 130


def test_a_look_that_ctrl_c_ends_has_begun_nothing_that_would_be_finished() -> None:
    # Given a host that takes for ever to answer a look, and Ctrl-C
    def slow(*_: Any) -> Answer:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        return says(State.RUNNING, hold=threading.Event())

    # When it comes
    report = run(plan(Verb.STATUS, 1), {"host1": slow}, Notes(lambda: None))
    # Then it is said that the host was not waited for, and nothing else
    assert report.outcomes[0].trouble == "host1: it was not waited for: interrupted"
    assert isinstance(report.outcomes[0].error, LeftError)
    assert report.exit_code == 130


def test_term_finishes_what_has_begun_also_where_ctrl_c_is_ignored() -> None:
    # Given a rollout in a script's background, and TERM while its first host works
    hold = threading.Event()
    notes = Notes(hold.set)

    def first(*_: Any) -> Answer:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.pthread_kill(threading.main_thread().ident or 0, number)
        return says(State.RUNNING, hold=hold)

    # When it is carried out
    with in_background():
        report = run(plan(Verb.RESTART, 2), {"host1": first, "host2": UP}, notes)
    # Then Ctrl-C said nothing, and TERM let the first host finish
    assert notes.interrupts == [("host1",)]
    assert [one.kind for one in report.outcomes] == [Kind.ANSWERED, Kind.NOT_ATTEMPTED]
    assert report.exit_code == 130


def test_ctrl_c_is_handled_as_before_once_the_plan_is_done() -> None:
    # Given the handler there was
    before = signal.getsignal(signal.SIGINT)
    # When a plan was carried out
    run(plan(Verb.STATUS, 1), {"host1": UP})
    # Then it is there again
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ((State.RUNNING, State.RUNNING), 0),
        ((State.RUNNING, State.STOPPED), 3),
        ((State.STOPPED, State.DEAD), 1),
        ((State.DEAD, State.UNKNOWN), 4),
    ],
)
def test_a_status_exits_with_the_worst_state(states: tuple[State, State], code: int) -> None:
    # When two hosts say their states
    report = run(plan(Verb.STATUS, 2), {f"host{number}": says(state) for number, state in enumerate(states, 1)})
    # Then the worst one decides
    assert report.exit_code == code


def test_an_agent_that_leaves_a_process_out_has_not_proven_it() -> None:
    # Given an agent that forgets a process
    empty = Answer([f"{encode_line(Response((), error=''))}\n".encode()])
    # When it is asked for its status
    report = run(plan(Verb.STATUS, 1), {"host1": empty})
    # Then that process is unknown
    assert [one.state for one in report.outcomes[0].processes] == [State.UNKNOWN]
    assert report.exit_code == 4


def test_the_report_as_json_names_stage_hosts_and_processes() -> None:
    # When a report is written as JSON
    data = json.loads(json.dumps(run(plan(Verb.STATUS, 2), {"host1": UP, "host2": DOWN}).as_json()))
    # Then unreachable hosts have an error and unknown processes
    assert data["stage"] == "test"
    assert [host["host"] for host in data["hosts"]] == ["host1", "host2"]
    assert data["hosts"][0]["processes"][0]["name"] == "karafka-0"
    assert data["hosts"][0]["processes"][0]["state"] == "running"
    assert "down" in data["hosts"][1]["error"]
    assert data["hosts"][1]["processes"][0]["state"] == "unknown"
    assert "error" not in data["hosts"][0]


def test_an_answer_in_small_pieces_is_put_together() -> None:
    # Given an answer that comes byte after byte
    whole = b"".join(says(State.RUNNING, steps=("ready",)).output)
    notes = Notes()
    # When it is read
    report = run(plan(Verb.START, 1), {"host1": Answer([bytes([one]) for one in whole])}, notes)
    # Then nothing is lost, also without a line's end at the end
    assert report.exit_code == 0
    assert notes.events == [("host1", "ready")]
    assert run(plan(Verb.START, 1), {"host1": Answer([whole.rstrip()])}).exit_code == 0


def test_an_error_of_ours_keeps_its_text() -> None:
    # When an error without a host of its own comes up
    report = run(plan(Verb.START, 1), {"host1": OpsError("odd")})
    # Then it is a failure with that text
    assert report.outcomes[0].trouble == "odd"
    assert report.exit_code == 1
