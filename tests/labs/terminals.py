"""A terminal, and a human before it who takes time."""

from __future__ import annotations

import os
import pty
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ops.core.deadline import Deadline


class Human:
    """Reads questions off a terminal and answers each after a while.

    Attributes
    ----------
    questions : what was asked, in order.
    shown : all that the terminal showed.
    """

    def __init__(self, master: int, slave: int, answer: Callable[[str], str], pause_seconds: float) -> None:
        self.questions: list[str] = []
        self.shown = ""
        self._master, self._slave = master, slave
        self._answer = answer
        self._pause_seconds = pause_seconds
        self._over = threading.Event()
        self.thread = threading.Thread(target=self._work, daemon=True)

    def terminal(self) -> int:
        """Open the terminal, as `/dev/tty` is opened."""
        return os.dup(self._slave)

    def end(self) -> None:
        """Let the human go."""
        self._over.set()
        self.thread.join(5)

    def _work(self) -> None:
        rest = ""
        while not self._over.is_set():
            if not select.select([self._master], [], [], 0.02)[0]:
                continue
            text = os.read(self._master, 4096).decode()
            self.shown += text
            rest += text
            if rest.rstrip().endswith(":"):
                self.questions.append(rest.strip())
                time.sleep(self._pause_seconds)
                os.write(self._master, f"{self._answer(rest.strip())}\n".encode())
                rest = ""


@contextmanager
def human(answer: Callable[[str], str], pause_seconds: float = 0.0) -> Iterator[Human]:
    """Sit somebody down at a terminal."""
    master, slave = pty.openpty()
    made = Human(master, slave, answer, pause_seconds)
    made.thread.start()
    try:
        yield made
    finally:
        made.end()
        os.close(master)
        os.close(slave)


def until(probe: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until something is so."""
    assert Deadline(seconds).poll(probe)
