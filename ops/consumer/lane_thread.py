"""One thread of a pool of lanes: takes jobs many at a time, and performs them one after the other."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Protocol

from ops.consumer.lane_arrivals import OnItsWay
from ops.consumer.lane_entry import HALTED
from ops.consumer.lanes import Lanes
from ops.consumer.message import Message, Output
from ops.consumer.performer import Performer
from ops.consumer.retry import RetryPolicy
from ops.consumer.route import Route
from ops.consumer.window import Job


class Pool(Protocol):
    """What a thread works for."""

    failure: BaseException | None

    def next_work(self, worker: LaneThread) -> bool:
        """Give a thread work, waiting for it: jobs, or one whose messages are on their way; False at the end."""

    def sent(self, lanes: Lanes, epoch: int, job: Job, outputs: list[Output], seconds: float) -> None:
        """Send a job's messages; it is finished once they have arrived."""

    def ended(self, lanes: Lanes, job: Job, due: float | None, seconds: float) -> None:
        """Take over one job that is done, or is to be tried again when it is due."""

    def settle(self, item: OnItsWay) -> None:
        """Wait until a job's messages have arrived, and see to it that they do."""


class LaneThread(threading.Thread):
    """One thread of a pool.

    Attributes
    ----------
    mine : jobs in hand that are not begun; others may take them from the end.
    in_work : since when (monotonic clock) which message is being performed.
    settling : a job whose messages it waits for.
    """

    def __init__(self, pool: Pool, route: Route, retry: RetryPolicy, number: int) -> None:
        super().__init__(name=f"lane-{route.topic}-{number}", daemon=True)
        self.performer = Performer(route, retry, _no_rest)
        self.lanes: Lanes | None = None
        self.epoch = -1
        self.mine: deque[Job] = deque()
        self.in_work: tuple[float, Message] | None = None
        self.settling: OnItsWay | None = None
        self._pool = pool
        self._job: Job | None = None

    def run(self) -> None:
        """Work until the pool is closed."""
        pool = self._pool
        try:
            while pool.next_work(self):
                if self.settling is not None:
                    pool.settle(self.settling)
                    self.settling = None
                else:
                    self._work()
        except BaseException as error:
            pool.failure = error  # the poll thread looks at it and ends the process with it
            raise

    def give(self, lanes: Lanes, epoch: int, jobs: list[Job]) -> None:
        """Take jobs into hand."""
        self.lanes, self.epoch = lanes, epoch
        self.mine.extend(jobs)

    def give_away(self) -> Job | None:
        """Give the last job that is not begun; None for none."""
        try:
            return self.mine.pop()
        except IndexError:
            return None

    def drop(self) -> list[Job]:
        """Give all jobs that are not begun."""
        dropped = []
        while (job := self.give_away()) is not None:
            dropped.append(job)
        return dropped[::-1]

    def hands(self) -> list[Job]:
        """Give the jobs in hand and in work."""
        return [*self.mine, *([self._job] if self._job is not None else [])]

    def _work(self) -> None:
        pool, performer, mine, lanes, epoch = self._pool, self.performer, self.mine, self.lanes, self.epoch
        assert lanes is not None
        now = time.monotonic()
        while True:
            try:
                self._job = job = mine.popleft()
            except IndexError:
                break
            message = job.message
            self.in_work = now, message
            if job.deaths and lanes.hopeless(job):
                result: list[Output] | float = performer.bury_poison(message, job.deaths)
            elif job.plan is HALTED:
                result = []
            else:
                plan, job.plan = job.plan, None  # a retry looks at it anew
                result = performer.once(message, job.failures, plan)
            began, now = now, time.monotonic()
            if isinstance(result, float):
                pool.ended(lanes, job, now + result, now - began)
            elif result:
                pool.sent(lanes, epoch, job, result, now - began)
            else:
                pool.ended(lanes, job, None, now - began)
        self._job = self.in_work = None


def _no_rest(seconds: float) -> bool:
    """Rest never: jobs that are to be tried again wait in their lane."""
    raise AssertionError(seconds)
