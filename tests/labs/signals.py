"""Signals that a command in the background ignores, and its children with it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

UNHEARD = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""What a script's `&` and nohup let a command ignore."""


def hear_again() -> None:
    """Let children of this process hear what it was started to ignore: they inherit that, but no handler.

    This process itself still does not end with its terminal.
    """
    for number in UNHEARD:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number is signal.SIGINT else _go_on)


@contextmanager
def in_background() -> Iterator[None]:
    """Start commands meanwhile as a script starts them in its background, below nohup."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in UNHEARD}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _go_on(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by nothing."""
