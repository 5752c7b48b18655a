"""Questions to whoever sits at the terminal: one at a time, whichever host they are about."""

from __future__ import annotations

import atexit
import os
import select
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline

HUMAN_SECONDS = 120.0
"""How long a human may take for an answer, here or on a second device; servers close a log-in after as long."""


class NoAnswerError(Exception):
    """Nobody answered a question: no terminal, or no answer in time."""


class Patience:
    """A deadline that stands still while a human, or another host's log-in, is waited for.

    Used by the thread that connects and by the one that answers a server's questions.
    """

    def __init__(self, deadline: Deadline) -> None:
        self._deadline = deadline
        self._at = time.monotonic() + deadline.remaining
        self._lock = threading.Lock()
        self._busy = 0
        self._since = 0.0
        self._spent = 0.0

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let no time pass meanwhile."""
        with self._lock:
            self._busy += 1
            if self._busy == 1:
                self._since = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                if not self._busy:
                    self._spent += time.monotonic() - self._since

    @property
    def busy(self) -> bool:
        """Whether somebody is waited for."""
        return self._busy > 0

    def rest(self) -> Deadline:
        """Give the deadline that is left."""
        with self._lock:
            spent = self._spent + (time.monotonic() - self._since if self._busy else 0.0)
        left = Deadline(self._at - time.monotonic() + spent)
        left.seconds = self._deadline.seconds
        return left

    def within(self, seconds: float) -> float:
        """Give how long a step may take that has `seconds` at most."""
        return max(min(seconds, self.rest().remaining), 0.01)


class Prompts:
    """Asks at the terminal, one question after the other.

    Parameters
    ----------
    terminal : opens it for reading and writing; gives None where there is none.
    """

    def __init__(self, terminal: Callable[[], int | None] | None = None) -> None:
        self._terminal = terminal or _terminal
        self._turn = threading.RLock()

    @contextmanager
    def turn(self, patience: Patience) -> Iterator[float]:
        """Keep other hosts' questions away meanwhile; gives how long it took until they were, in seconds."""
        began = time.monotonic()
        with patience.paused():
            self._turn.acquire()
        try:
            yield time.monotonic() - began
        finally:
            self._turn.release()

    def ask(self, question: str, *, echo: bool, seconds: float = HUMAN_SECONDS) -> str:
        """Ask; within a `turn`, perhaps of another thread.

        Parameters
        ----------
        question : others wrote it: what steers a terminal is taken out.
        echo : whether the answer is shown while it is typed.

        Raises
        ------
        NoAnswerError : there is no terminal, or no answer in time.
        """
        file = self._terminal()
        if file is None:
            raise NoAnswerError("there is no terminal to ask at")
        try:
            return _asked(file, "".join(one if one.isprintable() else " " for one in question), echo, Deadline(seconds))
        finally:
            os.close(file)

    @property
    def possible(self) -> bool:
        """Whether there is somebody to ask."""
        file = self._terminal()
        if file is not None:
            os.close(file)
        return file is not None


def _terminal() -> int | None:
    """Open the terminal; none where standard input is another thing: a pipeline's, a script's."""
    try:
        if not sys.stdin.isatty():
            return None
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except (OSError, ValueError, AttributeError):
        return None


def _asked(file: int, question: str, echo: bool, deadline: Deadline) -> str:
    before = termios.tcgetattr(file)
    silent = list(before)
    if not echo:
        silent[3] &= ~termios.ECHO

    def restore() -> None:
        with suppress(OSError, termios.error):
            termios.tcsetattr(file, termios.TCSADRAIN, before)

    atexit.register(restore)  # a second Ctrl-C leaves this thread where it is
    try:
        termios.tcsetattr(file, termios.TCSADRAIN, silent)
        os.write(file, question.encode(errors="replace"))
        data = b""
        while not data.endswith(b"\n"):
            if not select.select([file], [], [], deadline.remaining)[0]:
                raise NoAnswerError(f"nobody answered within {in_seconds(deadline.seconds)}")
            part = os.read(file, 1024)
            if not part:
                raise NoAnswerError("nobody answered")
            data += part
        return data.decode(errors="surrogateescape").rstrip("\r\n")
    finally:
        restore()
        atexit.unregister(restore)
        if not echo:
            with suppress(OSError):
                os.write(file, b"\n")


PROMPTS = Prompts()
"""Those of this process: a command may have several ways to its hosts, and asks one question at a time."""
