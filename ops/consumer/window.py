"""One partition's window: the jobs between its committed offset and what was read last, finished or not.

Pure data for one thread at a time: no Kafka, no locks, no clocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator
from typing import Any

from ops.core.marks import Marks

JOBS = 4000
SPAN = 16_000  # offsets; as a bitmap 2,000 of the 3,060 bytes that the broker takes
TRIES = 250  # runs of tries that fit beside it


class Job:
    """One message to be performed.

    Attributes
    ----------
    key : of its lane; None for a lane of its own.
    message : what was read; None once it is finished.
    plan : what was made of it when it was read, if anything.
    failures : tries that failed.
    deaths : processes that died while it may have been, or was, in work.
    """

    __slots__ = ("deaths", "failures", "finished", "key", "message", "offset", "plan", "window")

    def __init__(self, window: Window, offset: int, key: Hashable, message: Any, plan: Any) -> None:
        self.window = window
        self.offset = offset
        self.key = key
        self.message = message
        self.plan = plan
        self.failures = 0
        self.deaths = 0
        self.finished = False


class Window:
    """The window of one partition.

    Parameters
    ----------
    marks : what its commit tells; None for a partition of which nothing is committed.

    Attributes
    ----------
    next : the first offset that was not read yet, and is not finished.
    held : nothing of it may be performed yet.
    crashed : whoever had the partition before died in the middle, and nobody was blamed for it yet.
    reach : everything that was given out to be performed is before this offset.
    dirty : something has changed since `marks` was called last.
    """

    def __init__(self, partition: Any, marks: Marks | None) -> None:
        self.partition = partition
        self.held = True
        self.dirty = True
        self.crashed = marks is not None and not marks.clean
        self.lone = marks.lone if marks else None
        self._known = marks is not None
        self._floor = self.next = self.reach = marks.offset if marks else 0
        if self.crashed and marks:
            self.reach = marks.reach
        self._tries = dict(marks.tries) if marks else {}  # of offsets that were not read yet
        self._ahead = deque(marks.finished if marks else ())
        self._order: deque[Job] = deque()
        self._behind = 0  # finished jobs in it
        self._tried = 0  # unfinished ones with tries
        self._gap = -1  # the job at this offset stands right behind a gap

    @property
    def offset(self) -> int | None:
        """What may be committed; None before anything was read of a partition without a commit."""
        return self._order[0].offset if self._order else (self.next if self._known else None)

    @property
    def unfinished(self) -> int:
        """How many jobs are not finished."""
        return len(self._order) - self._behind

    @property
    def full(self) -> bool:
        """Whether nothing more may be read: it holds enough, or its marks might get too long."""
        if self.crashed and not self.complete:
            return False
        return (
            self.unfinished >= JOBS
            or self._tried >= TRIES
            or bool(self._order and self.next - self._order[0].offset >= SPAN)
        )

    @property
    def spacious(self) -> bool:
        """Whether a full one may be read again."""
        return not self.full and (
            self.unfinished <= JOBS // 2
            and self._tried <= TRIES // 2
            and not (self._order and self.next - self._order[0].offset > SPAN // 2)
        )

    @property
    def complete(self) -> bool:
        """Whether everything is read again that may have been in work when its owner died."""
        return self.next >= self.reach

    def jobs(self) -> Iterator[Job]:
        """Give the unfinished ones in order."""
        return (job for job in self._order if not job.finished)

    def begin_at(self, offset: int) -> None:
        """Begin at an offset, if nothing was committed or read before."""
        if not self._known:
            self._known = True
            self._floor = self.next = self.reach = offset

    def add(self, offset: int, key: Hashable, message: Any, plan: Any = None) -> Job | None:
        """Take one message in; None if it is finished or there already."""
        order = self._order
        if offset < self.next and self._known:
            if order or offset >= self._floor:
                return None
            self._floor = self.reach = offset  # the topic was made anew, and its offsets begin anew
            self._ahead.clear()
            self._tries.clear()
        elif order and offset > order[-1].offset + 1:
            self._gap = offset
        self._known = True
        self.next = offset + 1
        ahead = self._ahead
        while ahead and ahead[0][0] <= self.next:
            self.next = max(self.next, ahead.popleft()[1])
        job = Job(self, offset, key, message, plan)
        if self._tries:
            job.failures, job.deaths = self._tries.pop(offset, (0, 0))
            self._tried += bool(job.failures or job.deaths)
        order.append(job)
        self.dirty = True
        return job

    def tried(self, job: Job, *, failures: int = 0, deaths: int = 0) -> None:
        """Count one try of a job."""
        self._tried += not (job.failures or job.deaths)
        job.failures += failures
        job.deaths += deaths
        self.dirty = True

    def finish(self, job: Job) -> None:
        """Strike a job out."""
        job.finished = True
        job.message = job.plan = None
        if job.failures or job.deaths:
            self._tried -= 1
        self._behind += 1
        self.dirty = True
        order = self._order
        while order and order[0].finished:
            order.popleft()
            self._behind -= 1

    def marks(self, *, clean: bool, lone: Job | None = None) -> Marks | None:
        """Give what is to be committed; None for nothing: it was not read yet, or what is committed holds as it is."""
        offset = self.offset
        self.dirty = False
        if offset is None or self.crashed:
            return None
        tries = dict(self._tries)
        if self._tried:
            tries |= {job.offset: (job.failures, job.deaths) for job in self.jobs() if job.failures or job.deaths}
        reach = max(self.reach, offset)
        return Marks(offset, clean, reach, tuple(self._finished(offset)), tries, None if lone is None else lone.offset)

    def _finished(self, offset: int) -> Iterator[tuple[int, int]]:
        """Give the intervals of finished offsets; those without a message count as such."""
        order, at, left = self._order, offset, self._behind
        if order and (left or self._gap > offset):
            for job in order:
                if job.finished:
                    left -= 1
                    continue
                if job.offset > at:
                    yield at, job.offset
                at = job.offset + 1
                if not left and at > self._gap:
                    at = order[-1].offset + 1
                    break
        elif order:
            at = order[-1].offset + 1
        if order and self.next > at:
            yield at, self.next
        yield from self._ahead
