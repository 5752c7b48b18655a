"""Identities: a recycled pid is never taken for the process it once was."""

from __future__ import annotations

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
from ops.core.identity import Identity, boot_id, start_ticks


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


def test_own_is_this_process() -> None:
    # Given this process
    assert Identity.own() == Identity.of(os.getpid())
