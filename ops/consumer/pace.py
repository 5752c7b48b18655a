"""How long the poll loop waits: short while there is traffic, long and cheap at rest."""

from __future__ import annotations

import time

from ops.consumer.pressure import Pressure
from ops.consumer.rejoin import Membership

_POLL_SECONDS = 0.05
_PAUSED_POLL_SECONDS = 0.01  # while a topic is paused its thread must not run dry
_URGENT_POLL_SECONDS = 0.005
_LANES_POLL_SECONDS = 0.02
_IDLE_POLL_SECONDS = 0.2  # each poll looks at every partition: a hundred of them cost 2 ms of CPU
_IDLE_AFTER_SECONDS = 1.0
# A broker has one fetch under way at a time, and a partition that was busy or paused when it was sent waits for its
# end. So it is short while there is traffic.
_FETCH_SECONDS = 0.05
_IDLE_FETCH_SECONDS = 0.5


class Pace:
    """The waits of one group's poll loop.

    Parameters
    ----------
    membership, pressure : the group's.
    """

    def __init__(self, membership: Membership, pressure: Pressure) -> None:
        self._membership = membership
        self._pressure = pressure
        self._fetched_at = float("-inf")
        self._idle: bool | None = None

    def fetched(self) -> None:
        """Note that messages came in."""
        self._fetched_at = time.monotonic()

    def poll_seconds(self, *, busy: bool, lanes: bool = False, urgent: bool = False) -> float:
        """Give how long the next poll may wait: short while there is traffic, so that offsets are committed soon.

        Parameters
        ----------
        busy : messages are in work, or offsets to be committed.
        lanes : jobs of lanes are in work.
        urgent : some of them wait for a commit.
        """
        idle = time.monotonic() - self._fetched_at > _IDLE_AFTER_SECONDS and not busy
        if idle != self._idle:
            self._idle = idle
            self._membership.fetch_wait(_IDLE_FETCH_SECONDS if idle else _FETCH_SECONDS)
        if urgent:
            return _URGENT_POLL_SECONDS
        if self._pressure.paused:
            return _PAUSED_POLL_SECONDS
        if lanes:
            return _LANES_POLL_SECONDS
        return _IDLE_POLL_SECONDS if idle else _POLL_SECONDS
