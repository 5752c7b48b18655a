"""The threads of one topic whose messages are performed in lanes: many keys at once, one key at a time.

All is decided by `ops.consumer.lanes`, under one lock; what is taken and what is finished goes over in batches, so that
a job costs no lock of its own. The poll thread puts messages in, and commits what the lanes say.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable, Iterable
from typing import Any

from ops.consumer.lane_arrivals import Arrivals, OnItsWay
from ops.consumer.lane_crew import Crew
from ops.consumer.lane_entry import LaneEntry
from ops.consumer.lane_thread import LaneThread
from ops.consumer.lanes import Lanes
from ops.consumer.message import Message, Output
from ops.consumer.outbox import Outbox
from ops.consumer.progress import Progress, SparingMarks
from ops.consumer.retry import RetryPolicy
from ops.consumer.route import Route
from ops.consumer.topic_thread import Batch
from ops.consumer.window import Job, Window
from ops.core.marks import Marks, encode

BYTES = 64 * 1024 * 1024


class LanePool:
    """Works through one topic's messages in lanes; the poll thread sees it as it sees a topic's thread.

    Parameters
    ----------
    route : the topic's; `concurrency` is the number of threads.
    outbox : where responses and dead letters go.
    retry : when a failed message is tried again.
    progress : where it is noted when messages were done.
    session_seconds : after so long without a turn of the poll loop the partitions may be somebody else's.

    Attributes
    ----------
    processed : messages that are done, dead letters included.
    backlog_bytes : of what is not finished.
    finished_since : messages finished since `places` was asked last.
    failure : what ended a thread, if anything did.
    """

    def __init__(
        self, route: Route, outbox: Outbox, retry: RetryPolicy, progress: Progress, session_seconds: float
    ) -> None:
        self.route = route
        self.processed = 0
        self.backlog_bytes = 0
        self.finished_since = 0
        self.failure: BaseException | None = None
        self._marks = SparingMarks(progress, route.source)
        self._most_deaths = retry.retries + 1  # as many tries as a job has that fails
        self._concurrency = route.concurrency or 1
        self._entry = LaneEntry(route)
        self._session_seconds = session_seconds
        self._ticked_at = time.monotonic()
        self._condition = threading.Condition()
        self._lanes = self._new_lanes(())
        self._epoch = -1
        self._abandoned_epoch = -1
        self._done: deque[tuple[Lanes, Job, float | None]] = deque()
        self._arrivals = Arrivals(route, outbox, lambda epoch: epoch <= self._abandoned_epoch)
        self._closing = False
        workers = [LaneThread(self, route, retry, number) for number in range(self._concurrency)]
        self._crew = Crew(self._condition, workers)

    @property
    def failed(self) -> int:
        """How many tries failed."""
        return sum(worker.performer.failed for worker in self._crew.workers)

    @property
    def refusals(self) -> int:
        """How much was done in vain."""
        return sum(worker.performer.refusals for worker in self._crew.workers)

    @property
    def dead_lettered(self) -> int:
        """How many messages became dead letters."""
        return sum(worker.performer.buried for worker in self._crew.workers) + self._arrivals.refused

    @property
    def backlog(self) -> int:
        """How many messages wait."""
        with self._condition:
            return sum(window.unfinished for window in self._lanes.windows.values()) - self._lanes.running

    @property
    def in_work(self) -> tuple[float, Message] | None:
        """Which message is in work for longest, and since when (monotonic clock)."""
        return self._crew.in_work

    @property
    def running(self) -> int:
        """How many messages are in work."""
        return self._lanes.running

    @property
    def busy(self) -> bool:
        """Whether anything is in work, or waits for its acknowledgement."""
        with self._condition:
            self._absorb()
            return self._lanes.running > 0

    @property
    def lively(self) -> bool:
        """Whether anything is in work, or rests before it is tried again."""
        return self._lanes.running > 0 or self._lanes.due is not None

    def full(self, partition: Any) -> bool:
        """Whether nothing more of a partition may be read."""
        window = self._lanes.windows.get(partition)
        return window is not None and (window.full or self.backlog_bytes > BYTES)

    def spacious(self, partition: Any) -> bool:
        """Whether a partition that was full may be read again."""
        window = self._lanes.windows.get(partition)
        return window is None or (window.spacious and self.backlog_bytes <= BYTES // 2)

    def start(self) -> None:
        """Start the threads."""
        for worker in self._crew.workers:
            worker.start()

    def load(self, epoch: int, marks: dict[Any, Marks | None]) -> None:
        """Begin an assignment: its partitions, with what their commits tell."""
        with self._condition:
            self._absorb()
            self._epoch = epoch
            self._lanes = self._new_lanes(self._crew.keys() | {job.key for job in self._arrivals.jobs()})
            self.backlog_bytes = 0
            for partition, one in marks.items():
                self._lanes.load(partition, one)

    def begin_at(self, partition: Any, offset: int) -> None:
        """Let a partition of which nothing is committed begin at an offset."""
        with self._condition:
            self._lanes.windows[partition].begin_at(offset)

    def put(self, batch: Batch) -> None:
        """Take in messages that were read; those with a `before_enqueue` tell their lane by it."""
        entries = [self._entry.of(message) for message in batch.messages]
        with self._condition:
            add, partition = self._lanes.add, batch.partition
            for message, (key, plan) in zip(batch.messages, entries, strict=True):
                if add(partition, message.offset, key, message, plan):
                    self.backlog_bytes += len(message.value or b"")
            self._wake()

    def tick(self) -> None:
        """Take over what is done and wake whoever has to go on; to be called each turn of the poll loop."""
        with self._condition:
            self._absorb()
            now = time.monotonic()
            self._doubt(now)
            self._ticked_at = now
            due = self._lanes.due
            if due is not None and due <= now:
                self._condition.notify()
            self._wake(slow=self._crew.find_slow())

    def openable(self) -> list[Window]:
        """Give the partitions that wait for a commit before anything of them is performed."""
        with self._condition:
            return self._lanes.openable()

    @property
    def shut(self) -> bool:
        """Whether nothing goes on before a commit."""
        return self._lanes.shut

    def committed(self, opened: list[Window]) -> None:
        """Go on: everything that `places` gave is committed."""
        with self._condition:
            self._lanes.open(opened)
            self._lanes.committed()
            self._wake()

    def refused(self) -> None:
        """Go on waiting: what `places` gave was refused, and has to be given again."""
        with self._condition:
            self._lanes.soil()

    def places(self) -> dict[Any, tuple[int, str]]:
        """Give offset and metadata of the partitions whose marks have changed since the last time."""
        with self._condition:
            self._absorb()
            self.finished_since = 0
            found = [
                (partition, self._lanes.marks(partition))
                for partition, window in self._lanes.windows.items()
                if window.dirty
            ]
        return {partition: (marks.offset, encode(marks)) for partition, marks in found if marks is not None}

    def halt(self, epoch: int) -> None:
        """Stop after the messages in work; what waits is given up."""
        del epoch
        with self._condition:
            self._lanes.halt()
            for worker in self._crew.workers:
                self._lanes.give_back(worker.drop())
            self._condition.notify_all()

    def abandon(self, epoch: int) -> None:
        """Send and report nothing more of `epoch` and before: somebody else does it again."""
        self._abandoned_epoch = epoch

    def close(self) -> None:
        """Let the threads end when they are idle."""
        with self._condition:
            self._closing = True
            self._condition.notify_all()

    def next_work(self, worker: LaneThread) -> bool:
        """Give a thread work, waiting for it: jobs, or one whose messages are on their way; False at the end."""
        with self._condition:
            while True:
                self._absorb()
                lanes, now = self._lanes, time.monotonic()
                self._doubt(now)
                if not self._closing and self._crew.surplus(settling=self._arrivals.awaited):
                    self._crew.rest(lanes.due, now)
                    continue
                taken = lanes.take(self._crew.at_once, now)
                if taken or self._crew.share(worker):
                    if taken:
                        worker.give(lanes, self._epoch, taken)
                    self._wake()
                    return True
                worker.settling = self._arrivals.next()
                if worker.settling is not None:
                    return True
                if self._closing:
                    return False
                self._crew.rest(lanes.due, now)

    def sent(self, lanes: Lanes, epoch: int, job: Job, outputs: list[Output], seconds: float) -> None:
        """Send a job's messages; it is finished once they have arrived."""
        self._crew.lasted(seconds)
        self._arrivals.send(lanes, epoch, job, outputs)

    def ended(self, lanes: Lanes, job: Job, due: float | None, seconds: float) -> None:
        """Take over one job that is done, or is to be tried again when it is due."""
        self._crew.lasted(seconds)
        self._done.append((lanes, job, due))

    def settle(self, item: OnItsWay) -> None:
        """Wait until a job's messages have arrived, and see to it that they do."""
        self._arrivals.wait(item)
        with self._condition:
            self._arrivals.waited()
            self._done.append((item.lanes, item.job, None))

    def _doubt(self, now: float) -> None:
        """Begin nothing before a commit shows that the partitions are ours, if this process may have been frozen."""
        if now - self._ticked_at > self._session_seconds and not self._lanes.shut:
            self._lanes.soil()
            self._lanes.shut = True

    def _new_lanes(self, occupied: Iterable[Hashable]) -> Lanes:
        keys = [key for key in occupied if key is not None]  # of jobs still in work, though their assignment is over
        return Lanes(self._concurrency, self._most_deaths, keys)

    def _absorb(self) -> None:
        """Take over what is done, and what has arrived."""
        done = self._done
        done.extend((lanes, job, None) for lanes, job, _ in self._arrivals.arrived())
        oldest: dict[int, int] = {}
        while done:
            lanes, job, due = done.popleft()
            if lanes is not self._lanes:
                self._lanes.free(job.key)  # of an assignment before; its key waited for it
                continue
            if due is not None:
                lanes.fail(job, due)
                continue
            message = job.message
            self.processed += 1
            self.finished_since += 1
            self.backlog_bytes -= len(message.value or b"")
            stamp = oldest.get(message.partition)
            if stamp is None or message.timestamp < stamp:
                oldest[message.partition] = message.timestamp
            lanes.finish(job)
        if oldest:
            self._marks.note(oldest)

    def _wake(self, *, slow: bool = False) -> None:
        way = self._arrivals
        self._crew.wake(self._lanes.ready, awaited=way.idle, settling=way.awaited, slow=slow)
