"""What asks a command to end: Ctrl-C, TERM, and HUP when its terminal goes; all of them alike.

What a process was started to ignore stays ignored: Ctrl-C in a script's background, HUP below nohup.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

ASKS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    """Handle a signal as Python handles Ctrl-C by itself, also where Ctrl-C is ignored."""
    raise KeyboardInterrupt(signal.Signals(number).name)


@contextmanager
def handling(
    handler: Callable[[int, FrameType | None], object] | signal.Handlers, numbers: Sequence[signal.Signals] = ASKS
) -> Iterator[None]:
    """Let `handler` take these signals meanwhile, those excepted that are ignored.

    Changes nothing outside of the main thread, the only one that Python lets set handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    taken = {number: was for number, was in before.items() if was not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, was in taken.items():
            with suppress(ValueError):  # the interpreter may be at its end
                signal.signal(number, was)


@contextmanager
def asked_once() -> Iterator[None]:
    """Let the first Ctrl-C or TERM ask, whatever follows wait, and HUP go by: what has begun is to be finished here.

    Who ends this process in the middle of a restart leaves a slot empty; its terminal may go (SIGHUP) at any time.
    """
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            interrupt(number, frame)

    with handling(signal.SIG_IGN, (signal.SIGHUP,)), handling(ask, (signal.SIGINT, signal.SIGTERM)):
        yield
