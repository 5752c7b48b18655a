"""A process that is started again and again, by whomever: the slot itself knows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ops.core import deaths
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.pidfile import read
from ops.core.protocol import Verb
from ops.core.states import State
from ops.node.managers.pidfile import PidfileManager
from tests.labs.node_host import NodeHost


def pid_in(pidfile: str) -> int | None:
    record = read(Path(pidfile))
    return record.pid if record else None


def die(pid: int) -> None:
    """Let a process die behind its manager's back."""
    process = Identity.of(pid)
    assert process is not None
    process.send(9)
    assert Deadline(10).poll(lambda: not process.alive())


def test_what_a_crontab_starts_again_and_again_is_crash_looping(
    host: NodeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a process that died twice and was started again each time
    manager, spec = PidfileManager(), host.spec()
    report = manager.start(spec)
    for _ in range(2):
        die(report.pid)
        report = manager.start(spec)
        assert (report.ok, report.state) == (True, State.RUNNING)
    # When that happens once more
    die(report.pid)
    report = manager.start(spec)
    # Then it runs, and is called what it is, in how long a time
    assert (report.ok, report.state, report.restarts) == (True, State.CRASH_LOOPING, 3)
    status = host.one(Verb.STATUS, spec)
    assert (status.state, status.pid) == (State.CRASH_LOOPING, report.pid)
    assert status.message == "restarted 3 times after a death within 5 min"
    # And it is none any more once it has lived for a while
    monkeypatch.setattr(deaths, "QUIET_SECONDS", 0.0)
    assert manager.status(spec).state is State.RUNNING
    # And dead again, it is told with its past
    die(report.pid)
    dead = manager.status(spec)
    assert dead.state is State.DEAD
    assert dead.message.endswith("; restarted 3 times after a death within 5 min")


def test_an_operators_restart_is_believed(host: NodeHost) -> None:
    # Given a crash loop that no agent takes part in: something runs the shim itself
    spec = host.spec("--not-ready")
    files = spec.files
    shim = [sys.executable, "-I", "-m", "ops.node.shim", files.lock, files.pidfile, "1", "--log", files.log, "--"]
    Path(files.log).parent.mkdir(parents=True)
    manager = PidfileManager()

    for _ in range(4):
        with subprocess.Popen([*shim, "sleep", "300"]) as process:
            assert Deadline(10).poll(lambda: manager.status(spec).pid == process.pid == pid_in(files.pidfile))
            last = manager.status(spec)
            die(process.pid)
    assert (last.state, last.restarts) == (State.CRASH_LOOPING, 3)
    # When an operator restarts it with a release that works
    report = manager.restart(host.spec())
    # Then it runs, and one more death is one
    assert (report.ok, report.state) == (True, State.RUNNING)
    die(report.pid)
    assert manager.start(host.spec()).state is State.RUNNING


def test_who_was_stopped_did_not_die(host: NodeHost) -> None:
    # Given a process that is stopped and started again and again
    manager, spec = PidfileManager(), host.spec()
    for _ in range(4):
        report = manager.restart(spec)
    # Then that is no crash loop, and nothing is noted
    assert (report.state, report.restarts) == (State.RUNNING, 3)
    assert not Path(spec.files.deaths).exists()
