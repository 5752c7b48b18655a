"""The thread of one topic: takes batches, performs their messages, sends what they respond, reports finished offsets.

An offset is reported when its message is done and everything sent for it is acknowledged, never before. So that
the brokers' answers are not waited for idly, one batch is performed while the one before is on its way out.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ops.consumer.client import POLL_RECORDS
from ops.consumer.delivery import Delivery, Sent
from ops.consumer.message import Message
from ops.consumer.outbox import Outbox
from ops.consumer.performer import Performer
from ops.consumer.progress import Progress
from ops.consumer.retry import RetryPolicy
from ops.consumer.route import Route

MESSAGES = 4 * POLL_RECORDS
BYTES = 64 * 1024 * 1024
_SETTLE_SECONDS = 0.2  # with slow messages, offsets are reported at least that often
_PARTS_ON_THEIR_WAY = 1
_MARK_SECONDS = 0.02  # within a batch, progress is noted that often


class Batch(NamedTuple):
    """Messages of one partition that were fetched together, in the epoch of one assignment; `size` in bytes."""

    epoch: int
    partition: Any
    messages: Sequence[Message]
    size: int


def batches(epoch: int, fetched: Mapping[Any, Sequence[Any]]) -> list[Batch]:
    """Make batches of what was fetched, a partition each, the one first whose messages have waited for longest.

    Partitions take turns in a topic's thread; after a handover this goes on with the turns of the process before, so
    that none waits for two rounds.

    Parameters
    ----------
    fetched : kafka-python's records, at least one a partition.
    """
    some = [
        Batch(epoch, partition, messages, sum(message.serialized_value_size for message in messages))
        for partition, messages in fetched.items()
    ]
    return sorted(some, key=lambda batch: batch.messages[0].timestamp)


class TopicThread(threading.Thread):
    """Works through one topic's batches in order.

    Parameters
    ----------
    route : the topic's.
    outbox : where responses and dead letters go.
    finished : the queue that finished parts are handed over by; its other end is the poll thread's.
    retry : when a failed message is tried again.
    progress : where it is noted when messages were done.

    Attributes
    ----------
    processed : messages that are done, dead letters included.
    in_work : since when (monotonic clock) which message is being performed.
    backlog, backlog_bytes : what is queued, in messages and bytes.
    failure : what ended the thread, if anything did.
    """

    def __init__(
        self, route: Route, outbox: Outbox, finished: deque[Sent], retry: RetryPolicy, progress: Progress
    ) -> None:
        super().__init__(name=f"topic-{route.topic}", daemon=True)
        self.route = route
        self.processed = 0
        self.in_work: tuple[float, Message] | None = None
        self.backlog = 0
        self.backlog_bytes = 0
        self.failure: BaseException | None = None
        self._performer = Performer(route, retry, self._rest)
        self._progress = progress
        self._delivery = Delivery(route, outbox, finished.append, lambda epoch: epoch <= self._abandoned_epoch)
        self._queue: deque[Batch] = deque()
        self._condition = threading.Condition()
        self._busy = False
        self._closing = False
        self._part = Sent(-1)
        self._halted_epoch = -1
        self._abandoned_epoch = -1

    @property
    def failed(self) -> int:
        """How many tries failed."""
        return self._performer.failed

    @property
    def refusals(self) -> int:
        """How much was done in vain."""
        return self._performer.refusals

    @property
    def dead_lettered(self) -> int:
        """How many messages became dead letters."""
        return self._performer.buried + self._delivery.refused

    @property
    def running(self) -> int:
        """How many messages, or batches, are in work."""
        return int(self.in_work is not None)

    @property
    def busy(self) -> bool:
        """Whether anything was taken and is not reported yet."""
        with self._condition:
            return self.is_alive() and (self._busy or bool(self._queue))

    def full(self, partition: Any) -> bool:
        """Whether more than enough is queued."""
        del partition
        return self.backlog > MESSAGES or self.backlog_bytes > BYTES

    def spacious(self, partition: Any) -> bool:
        """Whether less than half of that is."""
        del partition
        return self.backlog <= MESSAGES // 2 and self.backlog_bytes <= BYTES // 2

    def put(self, batch: Batch) -> None:
        """Queue a batch."""
        with self._condition:
            self._queue.append(batch)
            self.backlog += len(batch.messages)
            self.backlog_bytes += batch.size
            self._condition.notify()

    def halt(self, epoch: int) -> None:
        """Stop after the message in work; what is queued of `epoch` and before is given up."""
        with self._condition:
            self._halted_epoch = epoch
            self._queue.clear()
            self.backlog = self.backlog_bytes = 0
            self._condition.notify()

    def abandon(self, epoch: int) -> None:
        """Send and report nothing more of `epoch` and before: somebody else does it again."""
        self._abandoned_epoch = epoch

    def close(self) -> None:
        """Let the thread end when it is idle."""
        with self._condition:
            self._closing = True
            self._condition.notify()

    def run(self) -> None:
        """Work until closed."""
        try:
            while True:
                taken = self._take()
                if taken:
                    if self.route.batch_mode:
                        self._work_whole(taken)
                    else:
                        self._work(*taken)
                    self._delivery.settle(keep=_PARTS_ON_THEIR_WAY)
                    continue
                self._delivery.settle()
                if not self._wait():
                    return
        except BaseException as error:
            self.failure = error  # the poll thread looks at it and ends the process with it
            raise

    def _take(self) -> list[Batch]:
        """Take the next batch; in batch_mode all that wait, as far as they make one.

        Where a batch takes long, each fetch meanwhile gives one of a message or two, and each of those would take as
        long. A batch of all partitions also lets none wait for its turn.
        """
        with self._condition:
            taken: list[Batch] = []
            while self._queue and self._joins(self._queue[0], taken):
                batch = self._queue.popleft()
                taken.append(batch)
                self.backlog -= len(batch.messages)
                self.backlog_bytes -= batch.size
                self._busy = True
            return taken

    def _joins(self, batch: Batch, taken: Sequence[Batch]) -> bool:
        """Whether a batch is worked on together with those that were taken before it."""
        if not taken:
            return True
        if not self.route.batch_mode or batch.epoch != taken[0].epoch:
            return False
        return sum(len(one.messages) for one in (*taken, batch)) <= POLL_RECORDS

    def _wait(self) -> bool:
        """Wait for a batch; False when the thread is to end."""
        with self._condition:
            if not self._queue:
                self._busy = False
            while not self._queue and not self._closing:
                self._condition.wait()
            return bool(self._queue)

    def _work(self, batch: Batch) -> None:
        """Perform a batch message by message, as far as it isn't halted, and send what they respond."""
        messages, epoch, partition = batch.messages, batch.epoch, batch.partition
        self._part = part = Sent(epoch)
        settle_at = time.monotonic() + _SETTLE_SECONDS
        done, mark_at, produced = 0, 0.0, messages[0].timestamp or None
        for unit in zip(messages, strict=True):
            if epoch <= self._halted_epoch:
                break
            now = time.monotonic()
            if done and now > mark_at:
                self._progress.mark(self.route.source, messages[0].partition, produced)
                done, mark_at, produced = 0, now + _MARK_SECONDS, None
            if now > settle_at:
                self._settle_part()
                settle_at = time.monotonic() + _SETTLE_SECONDS
            self.in_work = now, unit[0]
            outputs = self._performer.handle(unit)
            if outputs is None or epoch <= self._abandoned_epoch:
                break
            part = self._part
            if outputs:
                self._delivery.send(part, unit, outputs)
            part.offsets[partition] = unit[0].offset + 1
            self.processed += 1
            done += 1
        self.in_work = None
        if done:
            self._progress.mark(self.route.source, messages[0].partition, produced)
        if self._part.offsets:
            self._delivery.add(self._part)

    def _work_whole(self, taken: Sequence[Batch]) -> None:
        """Perform batches as one, unless they are halted, and send what it responds."""
        epoch = taken[0].epoch
        by_partition: dict[Any, list[Message]] = {}
        for batch in taken:
            by_partition.setdefault(batch.partition, []).extend(batch.messages)
        messages = [message for some in by_partition.values() for message in some]
        self._part = Sent(epoch)
        if epoch <= self._halted_epoch:
            return
        self.in_work = time.monotonic(), messages[0]
        outputs = self._performer.handle(messages)
        self.in_work = None
        if outputs is None or epoch <= self._abandoned_epoch:
            return
        part = self._part
        self._delivery.send(part, messages, outputs)
        for partition, some in by_partition.items():
            part.offsets[partition] = some[-1].offset + 1
            self._progress.mark(self.route.source, some[0].partition, some[0].timestamp or None)
        self.processed += len(messages)
        self._delivery.add(part)

    def _settle_part(self) -> None:
        """Report what is done of the batch so far."""
        done = self._part
        if done.offsets:
            self._part = Sent(done.epoch)
            self._delivery.add(done)
        self._delivery.settle()

    def _rest(self, seconds: float) -> bool:
        """Wait between two tries, reporting meanwhile what is done; False when halted."""
        working, self.in_work = self.in_work, None
        self._settle_part()
        epoch = self._part.epoch
        with self._condition:
            if self._condition.wait_for(lambda: epoch <= self._halted_epoch, seconds):
                return False
        self.in_work = (time.monotonic(), working[1]) if working else None
        return True
