"""The queue as it is: how many jobs wait or run, of which workers, and since when."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from kafka import TopicPartition

from ops.consumer.client import onlooker
from ops.consumer.errors import MissingTopicError
from ops.core.brokers import Brokers
from ops.core.marks import decode
from ops.jobs.reading import records_up_to

MOST = 10_000
_SECONDS = 20.0
_NO_JOB = "(no job)"


@dataclass(frozen=True)
class Waiting:
    """Jobs of one worker's class that are not finished.

    Attributes
    ----------
    oldest_seconds : since the first of them was enqueued.
    """

    worker: str
    jobs: int
    oldest_seconds: float


@dataclass(frozen=True)
class Queue:
    """What is not finished.

    Attributes
    ----------
    jobs : how many.
    read : of how many it was looked at whose they are; the rest is too much to read.
    workers : the class with most jobs first.
    """

    topic: str
    jobs: int
    read: int
    workers: tuple[Waiting, ...]

    @property
    def oldest_seconds(self) -> float:
        """Since when the oldest job waits; 0 for none."""
        return max((one.oldest_seconds for one in self.workers), default=0.0)

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return {**asdict(self), "oldest_seconds": self.oldest_seconds}


class QueueLook:
    """Looks at one queue again and again, on one connection.

    Parameters
    ----------
    topic : of the jobs, as the cluster names it.
    group : of the workers; it is not joined.

    Raises
    ------
    UnreachableError, MissingTopicError : no broker let it in, or there is no such topic.
    """

    def __init__(self, brokers: Brokers, topic: str, group: str) -> None:
        self._topic = topic
        self._consumer, self._partitions = onlooker(brokers, topic, group)
        if not self._partitions:
            self._consumer.close(autocommit=False)
            raise MissingTopicError(f"topic {topic!r} does not exist", hint="nothing was enqueued yet; start a worker")
        self._consumer.assign(self._partitions)

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close(autocommit=False)

    def look(self, most: int = MOST) -> Queue:
        """Count what is not finished, and see of at most so many jobs whose they are."""
        ends = self._consumer.end_offsets(self._partitions)
        begins = self._consumer.beginning_offsets(self._partitions)
        total, ahead = 0, {}
        for partition in self._partitions:
            place = self._consumer.committed(partition, metadata=True)
            known = place is not None and place.offset >= 0
            offset = max(place.offset if known else 0, begins[partition])
            marks = decode(place.offset, place.metadata or "") if known else None
            ahead[partition] = tuple(marks.finished) if marks else ()
            total += max(0, ends[partition] - offset - sum(end - start for start, end in ahead[partition]))
            self._consumer.seek(partition, offset)
        counts: dict[str, int] = defaultdict(int)
        oldest: dict[str, float] = {}
        read = 0
        for record in records_up_to(self._consumer, self._partitions, ends, _SECONDS):
            if any(start <= record.offset < end for start, end in ahead[TopicPartition(self._topic, record.partition)]):
                continue
            name, at = _whose(record)
            counts[name] += 1
            oldest[name] = min(at, oldest.get(name, at))
            read += 1
            if read >= most:
                break
        now = time.time()
        waiting = [Waiting(name, count, round(max(0.0, now - oldest[name]), 1)) for name, count in counts.items()]
        waiting.sort(key=lambda one: (-one.jobs, one.worker))
        return Queue(self._topic, max(total, read), read, tuple(waiting))


def _whose(record: Any) -> tuple[str, float]:
    try:
        data = json.loads(record.value)
        return str(data["worker"]), float(data["at"])
    except (ValueError, KeyError, TypeError):
        return _NO_JOB, record.timestamp / 1000
