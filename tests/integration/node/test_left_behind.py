"""What a process has started in sessions of its own ends with it, and nothing else does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity, boot_id
from ops.core.protocol import ProcessSpec, Response, Verb, decode_line
from ops.core.states import State
from tests.labs.node_host import LEAVER, NodeHost
from tests.labs.refusing import refusing


def leaver(host: NodeHost, *names: str, index: int = 0) -> ProcessSpec:
    """Make a foreign command with children of these names."""
    folder = host.root / f"children{index}"
    folder.mkdir()
    return host.spec(
        command=(sys.executable, str(LEAVER), str(folder), *names), index=index, readiness="alive",
        stop_timeout_seconds=1.0,
    )  # fmt: skip


def child(host: NodeHost, name: str, index: int = 0) -> Identity:
    """Return a living child of a command, once it is there."""
    path = host.root / f"children{index}" / name
    assert Deadline(20).poll(path.exists)
    found = Identity.of(int(path.read_text()))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("plain", "bare"), "2 processes that it had started ended too"),
        (("deaf", "plain", "stubborn", "orphan"), "3 processes that it had started ended too, 1 of them killed"),
        (("deaf", "respawn"), "2 processes that it had started ended too"),
    ],
    ids=["plain", "deaf", "respawn"],
)
def test_children_with_sessions_of_their_own_end_with_it(host: NodeHost, names: tuple[str, ...], words: str) -> None:
    # Given a foreign command that may ignore TERM, and whose children are out of its session
    spec = leaver(host, *names)
    assert host.one(Verb.START, spec).ok
    children = [child(host, name) for name in names if name != "deaf"]
    assert all(os.getsid(one.pid) == one.pid for one in children)
    # When it is stopped
    report = host.one(Verb.STOP, spec)
    # Then nothing is left of it, and the report says what was ended
    assert (report.ok, report.state) == (True, State.STOPPED)
    assert words in report.message
    assert not any(one.alive() for one in children)
    assert host.processes() == []


def test_children_of_one_that_died_are_ended_by_the_next_start_and_by_a_stop(host: NodeHost) -> None:
    # Given a command that was killed, and whose child lives on
    for verb in (Verb.START, Verb.STOP):
        spec = leaver(host, "plain", index=int(verb is Verb.STOP))
        started = host.one(Verb.START, spec)
        left = child(host, "plain", int(verb is Verb.STOP))
        os.kill(started.pid or 0, signal.SIGKILL)
        assert Deadline(10).poll(lambda: host.one(Verb.STATUS, spec).state is State.DEAD)  # noqa: B023
        # When it is started, or stopped
        (host.root / f"children{int(verb is Verb.STOP)}" / "plain").unlink()
        report = host.one(verb, spec)
        # Then the child has ended first
        assert report.ok
        assert "the process before it had left children: 1 process that it had started ended too" in report.message
        assert not left.alive()
        host.one(Verb.STOP, spec)


def test_another_process_is_never_taken_for_a_child(host: NodeHost) -> None:
    # Given a command, another slot's that was started from within it, and one with the mark of another start
    spec, other = leaver(host, "plain"), leaver(host, "plain", index=1)
    own = Identity.of(host.one(Verb.START, spec).pid or 0)
    assert own is not None
    name, _, value = own.mark.partition("=")
    within = subprocess.run(
        [sys.executable, "-m", "ops.node"], input=host.request(Verb.START, other), env={**os.environ, name: value},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    answer = decode_line(within.stdout.splitlines()[-1])
    assert isinstance(answer, Response)
    assert answer.processes[0].ok
    former = Identity(own.pid, own.start - 1, boot_id()).mark.partition("=")[2]
    stranger = subprocess.Popen(["sleep", "300"], env={name: former}, start_new_session=True)
    try:
        # When the command is stopped
        report = host.one(Verb.STOP, spec)
        # Then its child has ended, and neither of the others
        assert "1 process that it had started ended too" in report.message
        assert stranger.poll() is None
        assert host.one(Verb.STATUS, other).state is State.RUNNING
        assert child(host, "plain", 1).alive()
    finally:
        stranger.kill()
        stranger.wait()
        host.one(Verb.STOP, other)


def test_who_stops_it_from_within_is_spared(host: NodeHost, tmp_path: Path) -> None:
    # Given a command
    spec = leaver(host, "plain")
    own = Identity.of(host.one(Verb.START, spec).pid or 0)
    assert own is not None
    name, _, value = own.mark.partition("=")
    # When it is stopped by something that it has started itself, a shell and an agent below it
    script = f"{sys.executable} -m ops.node >{tmp_path}/answer; echo ended >>{tmp_path}/answer"
    subprocess.run(
        ["setsid", "sh", "-c", script], input=host.request(Verb.STOP, spec), env={**os.environ, name: value},
        text=True, timeout=60, check=True,
    )  # fmt: skip
    # Then these live to tell it
    *_, answer, last = (tmp_path / "answer").read_text().splitlines()
    assert last == "ended"
    assert json.loads(answer)
    assert host.processes() == []


def test_what_cannot_be_ended_is_named(host: NodeHost) -> None:
    # Given a command that was killed, and its child
    spec = leaver(host, "plain")
    started = host.one(Verb.START, spec)
    left = child(host, "plain")
    os.kill(started.pid or 0, signal.SIGKILL)
    assert Deadline(10).poll(lambda: host.one(Verb.STATUS, spec).state is State.DEAD)
    # When it is stopped where no signal may be sent
    argv = refusing("pidfd_send_signal", "EPERM", sys.executable, "-m", "ops.node")
    done = subprocess.run(
        argv, input=host.request(Verb.STOP, spec), capture_output=True, text=True, timeout=60, check=True
    )  # fmt: skip
    answer = decode_line(done.stdout.splitlines()[-1])
    assert isinstance(answer, Response)
    report = answer.processes[0]
    # Then nobody says that all is well, and the child is named with the reason
    assert not report.ok
    assert f"what it had started is left: process {left.pid} (python" in report.message
    assert "signals to it are refused" in report.message
    # And a status says it, for as long as it lives
    assert host.one(Verb.STATUS, spec).message == f"what it had started is left: process {left.pid}"
    assert host.one(Verb.STOP, spec).ok
    assert host.one(Verb.STATUS, spec).message == ""
