"""What a process tells its manager while it works: STATUS= for people, WATCHDOG=1 for as long as it makes progress."""

from __future__ import annotations

import faulthandler
import logging
import time
from collections.abc import Sequence

from ops.consumer.signals import dump_stacks
from ops.consumer.source import GroupSource
from ops.core.amounts import counted
from ops.core.notify import Notifier

log = logging.getLogger(__name__)

_STALL_SECONDS = 15.0  # a turn of a poll loop: a join of 2 s, a commit of 10 s
_SUMMARY_SECONDS = 5.0


class Teller:
    """Tells how the groups are.

    Parameters
    ----------
    interval_seconds : in which the manager wants to hear WATCHDOG=1; None for never.
    message_timeout_seconds : how long a message may be in work, and a rebalance may wait for it.
    """

    def __init__(self, notifier: Notifier, interval_seconds: float | None, message_timeout_seconds: float) -> None:
        self._notifier = notifier
        self._interval = interval_seconds / 3 if interval_seconds else None
        self._limit = _STALL_SECONDS + message_timeout_seconds
        self._fed_at = 0.0
        self._told_at, self._told = 0.0, ""
        self._stuck = ""
        if interval_seconds:
            faulthandler.enable()  # the watchdog ends a process by ABRT: its stacks are the best that is left of it

    def ready(self, sources: Sequence[GroupSource]) -> str:
        """Say READY=1, and give what was said with it."""
        self._told_at, self._told = time.monotonic(), summary(sources)
        self._notifier.ready(self._told)
        return self._told

    def tell(self, sources: Sequence[GroupSource]) -> None:
        """Feed the watchdog while everything makes progress; tell from time to time what has changed."""
        now = time.monotonic()
        if self._interval is not None and now - self._fed_at >= self._interval and self._alive(sources):
            self._fed_at = self._told_at = now
            self._told = summary(sources)
            self._notifier.send(WATCHDOG="1", STATUS=self._told)
        elif now - self._told_at >= _SUMMARY_SECONDS:
            self._told_at = now
            said, self._told = self._told, summary(sources)
            if said != self._told:
                self._notifier.status(self._told)

    def _alive(self, sources: Sequence[GroupSource]) -> bool:
        """Whether everything makes progress; says once why it does not, with all stacks."""
        stuck = next(filter(None, (source.vitals.stuck(source.group, self._limit) for source in sources)), "")
        if stuck and not self._stuck:
            log.error("%s; the watchdog is not fed any more", stuck)
            dump_stacks()
        self._stuck = stuck
        return not stuck


def summary(sources: Sequence[GroupSource]) -> str:
    """Give one line: each group with its partitions and lag."""
    parts = []
    for source in sources:
        facts = source.facts()
        count = sum(len(partitions) for partitions in facts["assignment"].values())
        lag = "?" if source.behind.messages is None else source.behind.messages
        parts.append(f"{source.group}: {counted(count, 'partition')}, lag {lag}, generation {facts['generation']}")
    return "; ".join(parts)
