"""Lanes: many keys at once, one key at a time, in order.

Pure data for one thread at a time, as its windows: it knows what may run next and what may be committed, and leaves
running, waiting and committing to others (`ops.consumer.lane_pool`, the poll thread).

**Jobs that kill their process.** A partition whose last commit is not a clean one lost its owner in the middle. Then
the first unfinished job of each key that may have been in work is blamed: one death more, committed before anything
of the partition runs. From the second death on a job is a suspect and runs alone, and the commit before says so: the
next death is its own, and no neighbour's. As one may still be killed from outside, only its second death alone counts
against it for good: a neighbour never gets there.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Iterable
from itertools import count
from typing import Any

from ops.consumer.window import Job, Window
from ops.core.marks import Marks

SUSPECT = 2  # deaths from which on a job runs alone


class Lanes:
    """What is to be done of some partitions.

    Parameters
    ----------
    concurrency : how many jobs may be in work; the caller sees to it.
    most_deaths : after so many a job is not run any more; at least two of them it died alone.
    occupied : keys whose jobs are still in work, given out before.

    Attributes
    ----------
    shut : nothing is given out until `committed` is called: a commit has to come first.
    running : how many jobs are in work.
    """

    def __init__(self, concurrency: int, most_deaths: int = 4, occupied: Iterable[Hashable] = ()) -> None:
        self.windows: dict[Any, Window] = {}
        self.shut = False
        self.running = 0
        self._concurrency = concurrency
        self._most_deaths = max(most_deaths, SUSPECT + 2)
        self._waiting: dict[Hashable, deque[Job] | None] = dict.fromkeys(occupied)  # by occupied key
        self._ready: deque[Job] = deque()
        self._resting: list[tuple[float, int, Job]] = []
        self._turn = count()
        self._suspects: deque[Job] = deque()
        self._lone: Job | None = None
        self._lone_runs = False
        self._halted = False

    # -- partitions

    def load(self, partition: Any, marks: Marks | None) -> None:
        """Begin with a partition; it is held until a commit has told that it is ours."""
        self.windows[partition] = Window(partition, marks)

    def add(self, partition: Any, offset: int, key: Hashable, message: Any, plan: Any = None) -> bool:
        """Take in one message that was read, key None for a lane of its own; False if it is finished already."""
        window = self.windows[partition]
        job = window.add(offset, key, message, plan)
        if job is None:
            return False
        if not window.held and not self._halted:
            self._queue(job)
        return True

    def openable(self) -> list[Window]:
        """Give the held windows of which a commit may tell now; jobs that may have killed their process are blamed."""
        found = []
        for window in self.windows.values():
            if window.held and not self._halted and (window.complete if window.crashed else window.offset is not None):
                if window.crashed:
                    self._blame(window)
                found.append(window)
        return found

    def open(self, windows: Iterable[Window]) -> None:
        """Let the jobs of windows run; what was blamed is committed."""
        for window in windows:
            window.held = False
            for job in window.jobs():
                self._queue(job)

    def halt(self) -> None:
        """Give out nothing more; what is in work may end."""
        self._halted = True
        self._ready.clear()
        self._suspects.clear()
        self._resting.clear()
        self._waiting.clear()

    # -- jobs

    @property
    def ready(self) -> int:
        """How many jobs could run now, or be announced to run alone."""
        if self.shut or self._halted:
            return 0
        if self._lone is not None:
            return int(not self._lone_runs)
        return int(not self.running) if self._suspects else len(self._ready)

    @property
    def due(self) -> float | None:
        """When the first resting job is to be tried again; None for none."""
        return self._resting[0][0] if self._resting else None

    def take(self, most: int, now: float) -> list[Job]:
        """Give jobs to be performed, each of another key; none where a commit has to come first (`shut`)."""
        while self._resting and self._resting[0][0] <= now:
            self._offer(heapq.heappop(self._resting)[2])
        if self._suspects and self._lone is None and not self.running and not self.shut:
            self._lone, self._lone_runs, self.shut = self._suspects.popleft(), False, True
            self._lone.window.dirty = True
        if not self.ready:
            return []
        if self._lone is not None:
            self._lone_runs = True
            taken = [self._lone]
        else:
            ready = self._ready
            taken = [ready.popleft() for _ in range(min(most, len(ready)))]
        for job in taken:
            window = job.window
            if job.offset >= window.reach:
                window.reach = job.offset + 1
                window.dirty = True
        self.running += len(taken)
        return taken

    def give_back(self, jobs: Iterable[Job]) -> None:
        """Take back jobs that were not begun, in the order they were given."""
        for job in reversed(list(jobs)):
            self.running -= 1
            if not self._halted:
                self._ready.appendleft(job)

    def finish(self, job: Job) -> None:
        """Strike a job out that was in work: done, or a dead letter that has arrived."""
        self._ended(job)
        job.window.finish(job)
        self.free(job.key)

    def fail(self, job: Job, due: float) -> None:
        """Let a job rest that failed; its key waits for it."""
        self._ended(job)
        job.window.tried(job, failures=1)
        if not self._halted:
            heapq.heappush(self._resting, (due, next(self._turn), job))

    def free(self, key: Hashable) -> None:
        """Let the next job of a key have its turn."""
        if key is None or self._halted:
            return
        queue = self._waiting.get(key)
        if queue:
            self._offer(queue.popleft())
        else:
            self._waiting.pop(key, None)

    def hopeless(self, job: Job) -> bool:
        """Whether a job has killed so many processes that it is not run any more."""
        return job.deaths >= self._most_deaths

    # -- commits

    def marks(self, partition: Any) -> Marks | None:
        """Give what is to be committed of a partition; None for nothing."""
        window = self.windows[partition]
        lone = self._lone if self._lone is not None and self._lone.window is window else None
        return window.marks(clean=self._halted and not self.running, lone=lone)

    def soil(self) -> None:
        """Let every partition be committed again."""
        for window in self.windows.values():
            window.dirty = True

    def committed(self) -> None:
        """Go on: all that `marks` gave is committed."""
        self.shut = False

    def _queue(self, job: Job) -> None:
        key = job.key
        if key is None:
            self._offer(job)
        elif key in self._waiting:
            queue = self._waiting[key]
            if queue is None:
                self._waiting[key] = deque((job,))
            else:
                queue.append(job)
        else:
            self._waiting[key] = None
            self._offer(job)

    def _offer(self, job: Job) -> None:
        suspect = SUSPECT <= job.deaths < self._most_deaths
        (self._suspects if suspect else self._ready).append(job)

    def _ended(self, job: Job) -> None:
        self.running -= 1
        if job is self._lone:  # before another one runs, a commit has to tell that it is no longer this one
            self._lone, self.shut, job.window.dirty = None, True, True

    def _blame(self, window: Window) -> None:
        """Count a death of those that may have been in work: the first job of each key, as far as any was given out.

        What was begun since the last commit may lie behind: as many more as could run at once.
        """
        lone, more, keys = window.lone, self._concurrency, set()
        for job in window.jobs():
            if lone is not None:
                if job.offset == lone:
                    window.tried(job, deaths=1)
                continue
            if job.key is not None:
                if job.key in keys:
                    continue
                keys.add(job.key)
            if job.offset >= window.reach:
                more -= 1
                if more < 0:
                    break
            if job.deaths < SUSPECT:
                window.tried(job, deaths=1)
        window.crashed = False
