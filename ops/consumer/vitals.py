"""What a group's topic threads have done and are at: their part of the status record."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from ops.consumer.overdue import Overdue
from ops.consumer.performer import place
from ops.consumer.readers import Reader


class Vitals:
    """Counts what the threads do, and knows when they last finished something.

    Parameters
    ----------
    threads : the group's.
    overdue : knows which of their messages are in work for too long.
    """

    def __init__(self, threads: Collection[Reader], overdue: Overdue) -> None:
        self._threads = threads
        self._overdue = overdue
        self._turned_at = time.monotonic()
        self._processed = 0
        self._processed_at = time.monotonic()

    def turned(self) -> None:
        """Note that the poll loop has made a turn."""
        self._turned_at = time.monotonic()

    def stuck(self, group: str, limit_seconds: float) -> str:
        """Say why the group makes no progress; empty while it does.

        Parameters
        ----------
        limit_seconds : how long a turn of the poll loop may take.
        """
        stalled = time.monotonic() - self._turned_at
        if stalled >= limit_seconds:
            return f"group {group}: its poll loop has made no turn for {stalled:.0f} s"
        seconds, message = max(self._overdue.found(), key=lambda one: one[0], default=(0.0, None))
        return f"group {group}: {place(message)} is in work for {seconds:.1f} s" if message is not None else ""

    def facts(self, waiting_since: float | None) -> dict[str, Any]:
        """Give them; `idle_seconds` is as exact as this is called often.

        Parameters
        ----------
        waiting_since : when something was finished that is not committed yet (monotonic clock); None for nothing.
        """
        now, threads = time.monotonic(), self._threads
        processed = sum(thread.processed for thread in threads)
        if processed != self._processed:
            self._processed, self._processed_at = processed, now
        return {
            "last_progress_seconds_ago": round(now - self._turned_at, 1),
            "processed": processed,
            "failed": sum(thread.failed for thread in threads),
            "refused": sum(thread.refusals for thread in threads),
            "dead_lettered": sum(thread.dead_lettered for thread in threads),
            "backlog": sum(thread.backlog for thread in threads),
            "running": sum(thread.running for thread in threads),
            "working": any(thread.busy for thread in threads),
            "idle_seconds": round(now - self._processed_at),
            "overdue_seconds": round(max((seconds for seconds, _ in self._overdue.found()), default=0.0), 1),
            "uncommitted_seconds": 0.0 if waiting_since is None else round(now - waiting_since, 1),
        }
