"""Identities: a recycled pid is never taken for the process it once was."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity, UnseenError, boot_id, refusal, start_ticks, stat_fields
from tests.labs.refusing import refusing


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["sleep", "300"])
    yield process
    process.kill()
    process.wait()


def test_a_running_process_is_alive_and_agrees_with_psutil(child: subprocess.Popen[bytes]) -> None:
    # Given a running process
    identity = Identity.of(child.pid)
    assert identity is not None
    # Then it is alive, and began when psutil says
    assert identity.alive()
    assert identity.boot == boot_id()
    began = psutil.boot_time() + identity.start / os.sysconf("SC_CLK_TCK")
    assert began == pytest.approx(psutil.Process(child.pid).create_time(), abs=1.5)


def test_a_signal_reaches_it_and_it_is_gone_even_before_its_parent_asks(child: subprocess.Popen[bytes]) -> None:
    # Given a running process
    identity = Identity.of(child.pid)
    assert identity is not None
    # When it is killed and nobody has reaped it
    assert identity.send(signal.SIGKILL)
    # Then it counts as gone
    assert Deadline(10).poll(lambda: not identity.alive())
    assert Identity.of(child.pid) is None
    assert not identity.send(signal.SIGKILL)


@pytest.mark.parametrize("change", [{"start": 1}, {"boot": "another"}])
def test_a_recycled_pid_is_never_signalled(child: subprocess.Popen[bytes], change: dict[str, object]) -> None:
    # Given the identity of a process that ended, whose pid an innocent one has now
    innocent = Identity.of(child.pid)
    assert innocent is not None
    former = replace(innocent, **change)  # type: ignore[arg-type]
    # When it is sent a signal
    assert not former.alive()
    assert not former.send(signal.SIGKILL)
    # Then the innocent lives
    assert innocent.alive()


def test_a_pid_that_is_a_threads_number_by_now_is_not_an_error() -> None:
    # Given an identity whose number is one of our own threads
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        former = Identity(thread.native_id, 1, boot_id())
        # Then it has ended, and nothing is raised
        assert not former.send(signal.SIGTERM)
    finally:
        done.set()
        thread.join()


def test_a_name_with_brackets_and_blanks_does_not_confuse() -> None:
    # Given a process whose name looks like the fields that follow it
    script = "open('/proc/self/comm', 'w').write(') Z 1 (x'); print('up', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        # Then it is alive, since it began after this one
        own = start_ticks(os.getpid())
        theirs = start_ticks(process.pid)
        process.communicate(b"\n")
    assert own is not None
    assert theirs is not None
    assert theirs >= own


MAIN_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(300,)).start()
print("up", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_whose_main_thread_has_ended_lives_until_its_last_one_ends() -> None:
    # Given a process whose main thread ends, while another one works on
    with subprocess.Popen([sys.executable, "-c", MAIN_ENDS], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        identity = Identity.of(process.pid)
        assert identity is not None
        assert Deadline(10).poll(lambda: (stat_fields(process.pid) or [""])[0] == "Z")
        # Then it is alive, and the same as before
        assert identity.alive()
        assert Identity.of(process.pid) == identity
        # When it is killed, then it is gone
        assert identity.send(signal.SIGKILL)
        assert Deadline(10).poll(lambda: not identity.alive())


@pytest.mark.parametrize("error", ["EPERM", "ENOSYS"])
def test_what_cannot_be_held_on_to_is_sent_nothing(child: subprocess.Popen[bytes], error: str) -> None:
    # Given a process, and a kernel or a filter that refuses pidfds
    script = f"""
import signal, subprocess
from ops.core.identity import Identity, UnseenError
theirs = Identity.of({child.pid})
try:
    theirs.send(signal.SIGKILL)
except UnseenError as error:
    print(error)
own = subprocess.Popen(["sleep", "300"])
print(Identity.of(own.pid).send(signal.SIGKILL), own.wait(10))
"""
    # When it is sent a signal, and so is a child of who sends it
    argv = refusing("pidfd_open", error, sys.executable, "-c", script)
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True)
    # Then nobody guesses, and only the child's number is certain enough
    why = os.strerror(getattr(errno, error))
    assert done.stdout.splitlines() == [f"process {child.pid} cannot be held on to: pidfd_open: {why}", "True -9"]
    assert child.poll() is None


def test_a_refused_signal_is_told_apart_from_another_users_process(child: subprocess.Popen[bytes]) -> None:
    # Given a process of this very user
    # When a filter refuses to send it a signal, then nobody says that it is another user's
    refused = refusal(child.pid)
    assert "signals to it are refused" in str(refused)
    assert isinstance(refused, UnseenError)


def test_own_is_this_process() -> None:
    # Given this process
    assert Identity.own() == Identity.of(os.getpid())
