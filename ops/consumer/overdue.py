"""Messages that are in work for longer than their time limit."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from typing import Any

from ops.consumer.performer import place
from ops.consumer.readers import Reader

log = logging.getLogger(__name__)

_SAY_SECONDS = 10.0


class Overdue:
    """Knows, and says, which messages block their partitions.

    Parameters
    ----------
    threads : those that work.
    limit_seconds : how long a message may be in work.
    """

    def __init__(self, threads: Collection[Reader], limit_seconds: float) -> None:
        self._threads = threads
        self._limit = limit_seconds
        self._said_at = 0.0

    def found(self) -> list[tuple[float, Any]]:
        """Give them, each with the seconds that it is in work."""
        now = time.monotonic()
        working = [thread.in_work for thread in self._threads]
        return [(now - work[0], work[1]) for work in working if work is not None and now - work[0] > self._limit]

    def say(self) -> None:
        """Log them, from time to time."""
        now = time.monotonic()
        if now - self._said_at >= _SAY_SECONDS:
            self._said_at = now
            for seconds, message in self.found():
                log.error("%s: in work for %.0f s and blocks its partition", place(message), seconds)
