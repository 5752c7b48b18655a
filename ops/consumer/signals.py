"""Signals as data: a handler only wakes the main thread, which reads what came."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import select
import signal
import socket
import sys
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGHUP)


class SignalInbox:
    """Collects signals while it is open; afterwards the handlers are what they were. Main thread only."""

    def __enter__(self) -> SignalInbox:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._handlers: dict[int, Any] = {number: signal.signal(number, _ignore) for number in HANDLED}
        self._wakeup = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def wait(self, timeout_seconds: float) -> list[signal.Signals]:
        """Wait for signals; give those that came, in order, empty after the time."""
        if not select.select([self._reader], [], [], timeout_seconds)[0]:
            return []
        with contextlib.suppress(BlockingIOError):
            return [signal.Signals(byte) for byte in self._reader.recv(64)]
        return []


def dump_stacks() -> None:
    """Write the stacks of all threads to stderr."""
    sys.stderr.flush()
    faulthandler.dump_traceback(all_threads=True)


def reopen(path: str) -> None:
    """Open the log file anew onto stdout and stderr, after it was rotated away."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    except OSError as error:
        log.error("the log file %s cannot be opened anew: %s", path, error)
        return
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    log.info("log file opened anew")


def _ignore(number: int, frame: object) -> None:
    """Do nothing: the wake-up descriptor has the number already."""
