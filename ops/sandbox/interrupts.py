"""What TERM, HUP and Ctrl-C do to a command that has something to clear up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let TERM and HUP end this process as Ctrl-C does, so that it clears up."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    with _handling({signal.SIGTERM: interrupt, signal.SIGHUP: interrupt}):
        yield


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let a second Ctrl-C wait until the first one's clearing up is done."""
    ignore = signal.SIG_IGN
    with _handling({signal.SIGINT: ignore, signal.SIGTERM: ignore, signal.SIGHUP: ignore}):
        yield


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Any]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only it may; tests have others
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
