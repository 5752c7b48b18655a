"""Which threads of a pool of lanes rest and which are woken, and who takes how much.

Jobs that take next to nothing are taken many at a time by one thread, as threads that wait for each other's turn at
Python's lock only slow each other down. As soon as one takes longer, the others wake up and take even what that thread
has in hand and has not begun.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Hashable, Sequence

from ops.consumer.lane_thread import LaneThread
from ops.consumer.message import Message
from ops.consumer.window import Job

_QUICK_SECONDS = 0.0002
_QUICK_JOBS = 32  # in a row, before many are taken at a time
_AT_ONCE = 64


class Crew:
    """The threads of one pool.

    Parameters
    ----------
    condition : the pool's; it is held wherever a method says so.
    """

    def __init__(self, condition: threading.Condition, workers: Sequence[LaneThread]) -> None:
        self.workers = workers
        self._condition = condition
        self._idle = 0
        self._timing = False
        self._quick = 0  # quick jobs in a row

    @property
    def in_work(self) -> tuple[float, Message] | None:
        """Which message is in work for longest, and since when (monotonic clock)."""
        some = [work for worker in self.workers if (work := worker.in_work)]
        return min(some, default=None, key=lambda work: work[0])

    @property
    def at_once(self) -> int:
        """How many jobs a thread takes."""
        return _AT_ONCE if self._quick >= _QUICK_JOBS else 1

    def lasted(self, seconds: float) -> None:
        """Learn how long a job took."""
        self._quick = self._quick + 1 if seconds < _QUICK_SECONDS else 0

    def surplus(self, *, settling: bool) -> bool:
        """Whether one of the threads that are awake is enough; the condition is held.

        Parameters
        ----------
        settling : one of them waits for what is on its way.
        """
        return self._quick >= _QUICK_JOBS and len(self.workers) - self._idle - settling > 1

    def wake(self, ready: int, *, awaited: bool, settling: bool, slow: bool = False) -> None:
        """Wake as many threads as there is work for, one where jobs are quick; the condition is held.

        Parameters
        ----------
        ready : jobs that could run.
        awaited : a thread is wanted that waits for what is on its way.
        settling : there is one.
        slow : a job has turned out to be slow, so that what lies behind it is to be taken from its thread.
        """
        if not self._idle:
            return
        if slow:
            ready += sum(len(worker.mine) for worker in self.workers)
        elif self._quick >= _QUICK_JOBS:
            ready = int(bool(ready) and self._idle + settling == len(self.workers))
        wanted = ready or int(awaited)
        if wanted:
            self._condition.notify(min(wanted, self._idle))

    def find_slow(self) -> bool:
        """Whether a job in work has turned out not to be a quick one."""
        work = self.in_work
        if work is None or time.monotonic() - work[0] < 10 * _QUICK_SECONDS:
            return False
        self._quick = 0
        return True

    def share(self, worker: LaneThread) -> bool:
        """Let a thread have a job that another one has in hand and has not begun; the condition is held."""
        if self._quick >= _QUICK_JOBS:
            return False
        for other in self.workers:
            job = other.give_away() if other is not worker else None
            if job is not None and other.lanes is not None:
                worker.give(other.lanes, other.epoch, [job])
                return True
        return False

    def rest(self, due: float | None, now: float) -> None:
        """Let a thread wait, one at a time for the first retry that is due; the condition is held."""
        timed = due is not None and not self._timing
        self._idle += 1
        self._timing |= timed
        self._condition.wait(max(0.0, due - now) if timed and due is not None else None)
        self._idle -= 1
        if timed:
            self._timing = False

    def keys(self) -> set[Hashable]:
        """Give the keys of the jobs in hand and in work."""
        jobs: list[Job] = [job for worker in self.workers for job in worker.hands()]
        return {job.key for job in jobs}
