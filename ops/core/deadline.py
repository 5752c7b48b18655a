"""Deadlines: every wait in this project has one."""

from __future__ import annotations

import time
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    T = TypeVar("T")

POLL_SECONDS = 0.02


class Deadline:
    """A point in time on the monotonic clock (it stands still for nobody's clock change).

    Parameters
    ----------
    seconds : how far ahead it lies; 0 or less has expired already.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._at - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether it has passed."""
        return self.remaining <= 0.0

    def poll(self, probe: Callable[[], T], *, every: float = POLL_SECONDS) -> T:
        """Call `probe` until it returns something true or the deadline passes.

        The probe is called at least once, and once more at the end. Returns its last value: false
        means that the deadline passed.
        """
        while True:
            last = self.expired
            value = probe()
            if value or last:
                return value
            time.sleep(min(every, self.remaining))
