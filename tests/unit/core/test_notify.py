"""Both ends of the readiness socket."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.core.handover import NOTIFY_VARIABLE, WATCHDOG_VARIABLE
from ops.core.notify import Notifier, NotifySocket, watchdog_seconds


def test_what_a_service_says_is_heard() -> None:
    # Given a manager's socket and this process as its service
    with NotifySocket() as socket:
        notifier = Notifier.from_environment({NOTIFY_VARIABLE: socket.address})
        # When it says things
        notifier.status("joining\nthe group")
        notifier.ready("6 partitions")
        notifier.standby()
        notifier.watchdog()
        notifier.stopping()
        notifier.close()
        # Then they are heard in turn, each in one piece
        heard = [socket.receive(os.getpid(), Deadline(5)) for _ in range(5)]
    assert heard == [
        {"STATUS": "joining the group"},
        {"READY": "1", "STATUS": "6 partitions"},
        {"X_STANDBY": "1"},
        {"WATCHDOG": "1"},
        {"STOPPING": "1"},
    ]


def test_another_processes_word_is_not_heard() -> None:
    # Given a process that is not the service
    with NotifySocket() as socket:
        script = "from ops.core.notify import Notifier; Notifier.from_environment().ready()"
        subprocess.run([sys.executable, "-c", script], env={**os.environ, NOTIFY_VARIABLE: socket.address}, check=True)
        # Then its READY=1 is not taken for the service's
        assert socket.receive(os.getpid(), Deadline(0.2)) is None


def test_silence_ends_at_the_deadline() -> None:
    # Given a service that says nothing
    began = time.monotonic()
    with NotifySocket() as socket:
        assert socket.receive(os.getpid(), Deadline(0.1)) is None
    # Then the wait is over in time
    assert time.monotonic() - began < 5


def test_a_service_without_a_manager_or_whose_manager_left_goes_on() -> None:
    # Given no manager, one that left, and one that never reads
    Notifier.from_environment({}).ready()
    with NotifySocket() as socket:
        left = Notifier(socket.address)
    left.ready()
    left.close()
    left.ready()
    with NotifySocket() as deaf:
        notifier = Notifier(deaf.address)
        # Then saying things neither fails nor waits
        for _ in range(10_000):
            notifier.watchdog()
        notifier.close()


def test_the_socket_in_the_file_system_works_too(tmp_path: Path) -> None:
    # Given a manager such as systemd, whose socket is a file
    import socket as sockets

    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_DGRAM) as server:
        server.settimeout(5)
        server.bind(str(tmp_path / "notify"))
        notifier = Notifier(str(tmp_path / "notify"))
        notifier.ready()
        notifier.close()
        # Then it hears
        assert server.recv(100) == b"READY=1"


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [("30000000", 30.0), ("500000", 0.5), ("0", None), ("", None), ("x", None), ("-1", None), ("²", None)],
)
def test_the_watchdogs_interval_is_in_seconds(raw: str, seconds: float | None) -> None:
    # Given what systemd sets
    assert watchdog_seconds({WATCHDOG_VARIABLE: raw}) == seconds
    assert watchdog_seconds({}) is None
