"""`python -m ops.node` as the operator's side sees it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core.protocol import LINE, PROTOCOL, Event, LogCall, Request, Response, Verb, decode_line
from ops.core.slot import Roster, Slot
from ops.core.states import State
from ops.node.agent import carry_out
from ops.node.superfluous import slots_beside
from tests.labs.node_host import NodeHost


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"", "is no JSON"),
        (b"\n", "is no JSON"),
        (b"\xff\xfe\n", "is no JSON"),
        (b"[]\n", "is no JSON object"),
        (b"[" * 200_000 + b"\n", "is no JSON"),
        (b"{}\n", "fab karafka.setup"),
        (json.dumps({"protocol": PROTOCOL + 1}).encode(), "fab karafka.setup"),
        (json.dumps({"protocol": PROTOCOL, "verb": "explode", "host": "h", "processes": []}).encode(), "explode"),
        (json.dumps({"protocol": PROTOCOL, "verb": "status", "host": "h", "processes": [1]}).encode(), "does not fit"),
    ],
    ids=["nothing", "empty", "no-utf8", "list", "deep", "no-version", "other-version", "no-verb", "no-process"],
)
def test_what_is_no_request_is_answered_with_an_error_and_exit_2(text: bytes, error: str) -> None:
    # Given something that is no request of this protocol
    done = subprocess.run([sys.executable, "-m", "ops.node"], input=text, capture_output=True, timeout=60)
    # Then one response line says what is wrong, and the exit code is 2
    assert done.returncode == 2, done.stderr
    begin, line = done.stdout.decode().splitlines()
    assert begin == ""
    response = decode_line(line)
    assert isinstance(response, Response)
    assert error in response.error
    assert response.processes == ()
    assert done.stderr == b""


def test_a_request_that_names_a_process_twice_is_refused(host: NodeHost) -> None:
    # Given a request with the same process twice
    response = host.ask(Verb.START, host.spec(), host.spec())
    # Then nothing is done
    assert response.error == "the request names a process twice: karafka-0, karafka-0"
    assert host.processes() == []


def test_a_rolling_restart_stops_at_the_first_failure(host: NodeHost) -> None:
    # Given two running processes, and a release in which the first fails at once
    good = [host.spec(index=0), host.spec(index=1)]
    before = [report.pid for report in host.ask(Verb.START, *good).processes]
    bad = [host.spec("--exit", "1", index=0), host.spec("--exit", "1", index=1)]
    # When they are restarted one after the other
    first, second = host.ask(Verb.RESTART, *bad, at_once=False).processes
    # Then the first one's failure saved the second
    assert (first.ok, first.state) == (False, State.DEAD)
    assert "it exited with 1" in first.message
    assert (second.ok, second.state, second.pid) == (False, State.RUNNING, before[1])
    assert second.message == "not attempted: karafka-0 failed"


def test_a_restart_one_after_the_other_never_has_two_down(host: NodeHost) -> None:
    # Given two running processes
    specs = [host.spec(index=0), host.spec(index=1)]
    host.ask(Verb.START, *specs)
    # When they are restarted one after the other
    events, response = host.answer(host.agent(Verb.RESTART, *specs, at_once=False))
    # Then the second is touched after the first is ready
    assert all(report.ok for report in response.processes)
    steps = [(event.process, event.step) for event in events]
    assert steps.index(("karafka-0", "ready")) < steps.index(("karafka-1", "asked to stop"))


def test_the_log_is_given_from_its_end(host: NodeHost) -> None:
    # Given a log with a line that is no UTF-8
    spec = host.spec()
    path = Path(spec.files.log)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"one\ntwo\nthr\xffee\n")
    # When two lines are asked for
    told: list[Event] = []
    response = carry_out(Request(Verb.LOG, "h1", (spec,), log=LogCall(2)), told.append)
    # Then they are the last ones, an event each
    assert told == [Event(spec.name, LINE, "two"), Event(spec.name, LINE, "thr\ufffdee")]
    assert response.processes[0].state is State.STOPPED


def test_what_cannot_be_read_is_unknown_with_the_reason(host: NodeHost) -> None:
    # Given a pidfile that is a folder
    spec = host.spec()
    host.pidfile(spec).mkdir()
    # When the status is asked for
    report = host.one(Verb.STATUS, spec)
    # Then it is unknown, and the reason is said
    assert report.state is State.UNKNOWN
    assert report.message == f"{spec.files.pidfile}: Is a directory"


def test_a_status_record_counts_only_from_the_living_process(host: NodeHost) -> None:
    # Given a running process, and status records of another one, of none, and of a whim
    spec = host.spec()
    pid = host.one(Verb.START, spec).pid
    for text in (json.dumps({"pid": pid, "start": 1, "state": "draining"}), "{", "[]", json.dumps({"pid": pid})):
        Path(spec.files.status).write_text(text)
        # Then nobody believes them
        report = host.one(Verb.STATUS, spec)
        assert (report.state, report.consumer) == (State.RUNNING, None)


def test_the_host_that_was_never_deployed_to_has_nothing_running(host: NodeHost) -> None:
    # Given a slot whose folders are not there
    spec = host.spec()
    nowhere = replace(spec, directory="/nowhere/current")
    # When its status is asked for, then it is stopped and no folder was made
    assert host.one(Verb.STATUS, nowhere).state is State.STOPPED
    assert not host.shared.exists()


def test_a_status_also_tells_what_runs_in_slots_that_the_settings_do_not_have(host: NodeHost) -> None:
    # Given three processes, of which one is stopped again, and a lock file that is none of ours
    specs = [host.spec(index=index) for index in range(3)]
    assert all(one.ok for one in host.ask(Verb.START, *specs).processes)
    assert host.one(Verb.STOP, specs[1]).ok
    (Path(specs[0].files.lock).parent / "notes.lock").touch()
    # When a status is asked for by somebody whose settings have the first one alone
    roster = Roster("tmp/pids/karafka.pid", ("karafka-0",))
    request = Request(Verb.STATUS, "h1", (specs[0],), shared=str(host.shared), roster=roster)
    response = carry_out(request, lambda _: None)
    # Then what lives beside it is told, by name and pid
    assert [(one.name, one.state) for one in response.others] == [("karafka-2", State.RUNNING)]
    assert response.others[0].pid == host.one(Verb.STATUS, specs[2]).pid
    # And nothing without a roster
    assert host.ask(Verb.STATUS, specs[0]).others == ()


def test_slots_are_known_by_their_lock_files(tmp_path: Path) -> None:
    # Given the lock files of two slots, and one that is none
    folder = tmp_path / "tmp" / "slots"
    folder.mkdir(parents=True)
    for name in ("karafka-1.lock", "karafka_big-0.lock", "karafka-0.lock", "notes.lock"):
        (folder / name).touch()
    # When they are looked for, whatever pidfiles are called
    found = list(slots_beside(tmp_path, Roster("tmp/pids/consumers.pid", ("karafka-0",))))
    # Then those beside the roster are told
    assert found == [Slot("karafka", 1), Slot("karafka_big", 0)]
