"""What cannot be seen or held on to: nobody says that it has ended, and nobody guesses why."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity, stat_fields
from ops.core.keeping import Keeping
from ops.core.protocol import ProcessReport, ProcessSpec, Response, Verb, decode_line
from ops.core.states import State
from ops.node.keeper import keeper_of
from tests.labs.node_host import NodeHost
from tests.labs.refusing import refusing

MAIN_ENDS = """
import ctypes, threading, time
from ops.core.notify import Notifier
Notifier.from_environment().ready()
threading.Thread(target=time.sleep, args=(300,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


def refused(host: NodeHost, verb: Verb, spec: ProcessSpec, call: str, error: str = "EPERM") -> ProcessReport:
    """Ask an agent whose calls of one name are refused."""
    argv = refusing(call, error, sys.executable, "-m", "ops.node")
    done = subprocess.run(
        argv, input=host.request(verb, spec), capture_output=True, text=True, timeout=90, check=True
    )  # fmt: skip
    response = decode_line(done.stdout.splitlines()[-1])
    assert isinstance(response, Response)
    assert not response.error
    return response.processes[0]


@pytest.mark.parametrize(
    ("call", "error", "expected"),
    [
        ("pidfd_open", "EPERM", "cannot be held on to: pidfd_open: Operation not permitted"),
        ("pidfd_open", "ENOSYS", "cannot be held on to: pidfd_open: Function not implemented"),
        ("pidfd_send_signal", "EPERM", "yet signals to it are refused (seccomp?)"),
    ],
)
def test_a_stop_that_the_kernel_refuses_says_so_and_nothing_else(
    host: NodeHost, call: str, error: str, expected: str
) -> None:
    # Given a running process
    spec = host.spec()
    started = host.one(Verb.START, spec)
    assert started.ok
    # When it is to be stopped where a filter of system calls refuses what that takes
    report = refused(host, Verb.STOP, spec, call, error)
    # Then nobody says that it has ended, or that it is another user's
    assert (report.ok, report.state) == (False, State.UNKNOWN)
    assert expected in report.message
    assert "another user" not in report.message
    # And it works on
    assert host.one(Verb.STATUS, spec).state is State.RUNNING


def test_a_process_that_fails_is_ended_where_pidfds_are_refused(host: NodeHost) -> None:
    # Given a process that is never ready
    spec = host.spec("--not-ready", start_timeout_seconds=1.0)
    # When it is started where a filter refuses pidfds, then it is ended: a child's number is nobody else's
    report = refused(host, Verb.START, spec, "pidfd_open")
    assert not report.ok
    assert "it was not ready within 1 s; ended after" in report.message
    assert not host.processes()


def test_a_process_whose_main_thread_has_ended_is_seen_and_stopped(host: NodeHost) -> None:
    # Given a process whose main thread has ended; its threads go on
    spec = host.spec(command=(sys.executable, "-c", MAIN_ENDS))
    started = host.one(Verb.START, spec)
    assert started.ok, started
    assert started.pid
    assert Deadline(10).poll(lambda: (stat_fields(started.pid or 0) or [""])[0] == "Z")
    # Then it runs, and a start leaves it alone
    report = host.one(Verb.STATUS, spec)
    assert (report.state, report.pid) == (State.RUNNING, started.pid)
    assert host.one(Verb.START, spec).message == "already running"
    assert keeper_of(Keeping("systemd", "shop"), spec.name, started.pid) == "pidfile"
    # When it is stopped, then it has ended
    stopped = host.one(Verb.STOP, spec)
    assert (stopped.ok, stopped.state) == (True, State.STOPPED)
    assert Identity.of(started.pid) is None
    assert host.one(Verb.START, spec).ok
