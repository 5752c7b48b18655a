"""Calls at a time to come, of which hardly one is ever made: one thread for all of them, not one for each."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from itertools import count


class Alarm:
    """A call at a time to come; `cancel` takes it back."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Let it not be made, where it has not begun."""
        self._call = None

    def ring(self) -> None:
        """Make it, in a thread of its own: it may take its time."""
        call, self._call = self._call, None
        if call is not None:
            threading.Thread(target=call, daemon=True, name="alarm").start()


class Alarms:
    """Calls at times to come; used from several threads at once."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._coming: list[tuple[float, int, Alarm]] = []
        self._numbers = count()
        self._watched = False

    def after(self, seconds: float, call: Callable[[], None]) -> Alarm:
        """Return a call that is made after some seconds, unless it is cancelled before."""
        alarm = Alarm(call)
        with self._changed:
            own = (time.monotonic() + seconds, next(self._numbers), alarm)
            heapq.heappush(self._coming, own)
            if not self._watched:
                self._watched = True
                threading.Thread(target=self._watch, daemon=True, name="alarms").start()
            elif self._coming[0] is own:
                self._changed.notify()
        return alarm

    def _watch(self) -> None:
        """Make those that are due, until none is left."""
        while True:
            with self._changed:
                while self._coming and (left := self._coming[0][0] - time.monotonic()) > 0:
                    self._changed.wait(left)
                if not self._coming:
                    self._watched = False
                    return
                _, _, due = heapq.heappop(self._coming)
            due.ring()


ALARMS = Alarms()
"""Those of this process."""
