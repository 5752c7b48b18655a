"""Counting what an app made of its traffic: lost and repeated messages, by stream and sequence number."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from ops.core.amounts import in_seconds
from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError, UsageError
from ops.reference.traffic import CONNECT_SECONDS

WAIT_SECONDS = 30.0
SETTLE_SECONDS = 1.0  # a repetition may follow when all is there
_POLL_MILLISECONDS = 200

Mark = tuple[str, int]
"""Stream and sequence number: what a message is known by."""


@dataclass(frozen=True)
class Tally:
    """What came of the messages on the input topic.

    Attributes
    ----------
    sent, received : messages on the input topic; messages that came of them.
    lost : those that nothing came of.
    repeated : those that more came of than were sent; listed once for each one too many.
    longest_gap_seconds : of each input partition, the longest time between two answers to its messages.
    longest_wait_seconds : the part of such a gap in which a message waited: what its sender paused is not in it.
    """

    sent: int
    received: int
    lost: tuple[Mark, ...]
    repeated: tuple[Mark, ...]
    longest_gap_seconds: dict[int, float] = field(default_factory=dict)
    longest_wait_seconds: dict[int, float] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Whether something was sent, nothing was lost and nothing repeated."""
        return self.sent > 0 and not self.lost and not self.repeated

    def __str__(self) -> str:
        gap = max(self.longest_gap_seconds.values(), default=0.0)
        return (
            f"sent {self.sent}, received {self.received}, lost {len(self.lost)}, repeated {len(self.repeated)}, "
            f"longest gap of a partition {gap:.3f} s"
        )


def count(
    brokers: Brokers,
    topic: str,
    answers: Collection[str],
    *,
    streams: Collection[str] = (),
    timeout_seconds: float = WAIT_SECONDS,
) -> Tally:
    """Read a topic and the topics of its answers from their beginning, and compare.

    Waits for answers that are still to come; both are read committed.

    Parameters
    ----------
    answers : the topics that the app answers to; one for each message.
    streams : the runs of producers to count; all of them without any.
    timeout_seconds : how long no further answer may come before the missing ones are called lost.

    Raises
    ------
    UnreachableError, UsageError : no broker answers; there is no such topic.
    """
    sent: Counter[Mark] = Counter()
    source: dict[Mark, tuple[int, int]] = {}  # partition, and when it was sent, in ms
    with _Reader(brokers, [topic]) as reader:
        for mark, record in reader.to_the_end(Deadline(timeout_seconds)):
            if not streams or mark[0] in streams:
                sent[mark] += 1
                source[mark] = record.partition, record.timestamp
    came: Counter[Mark] = Counter()
    answered: dict[int, list[tuple[int, int]]] = {}  # by partition: when it was answered and sent, in ms
    with _Reader(brokers, answers) as reader:
        for mark, record in reader.until(lambda: len(came), len(sent), timeout_seconds):
            if mark in sent:
                if mark not in came:
                    partition, at = source[mark]
                    answered.setdefault(partition, []).append((record.timestamp, at))
                came[mark] += 1
    return Tally(
        sent=sent.total(),
        received=came.total(),
        lost=tuple(sorted(mark for mark in sent if mark not in came)),
        repeated=tuple(sorted((came - sent).elements())),
        longest_gap_seconds={number: _longest_gap(times) for number, times in sorted(answered.items())},
        longest_wait_seconds={number: _longest_wait(times) for number, times in sorted(answered.items())},
    )


def _longest_gap(times: list[tuple[int, int]]) -> float:
    return max((later - earlier for (earlier, _), (later, _) in pairwise(sorted(times))), default=0) / 1000


def _longest_wait(times: list[tuple[int, int]]) -> float:
    return (
        max((later - max(earlier, sent) for (earlier, _), (later, sent) in pairwise(sorted(times))), default=0) / 1000
    )


class _Reader:
    """Reads topics from their beginning, without a group."""

    def __init__(self, brokers: Brokers, topics: Collection[str]) -> None:
        self._where = str(brokers)
        brokers.wait(CONNECT_SECONDS)
        try:
            self._consumer = KafkaConsumer(
                **brokers.options(),
                client_id="tally",
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=int(CONNECT_SECONDS * 1000),
                max_poll_records=5000,
                metrics_enabled=False,
            )
        except KafkaError as error:
            raise UnreachableError(
                f"no metadata within {in_seconds(CONNECT_SECONDS)}: {error}", where=self._where, hint="is it Kafka?"
            ) from error
        try:
            partitions = [TopicPartition(topic, number) for topic in topics for number in self._partitions(topic)]
            self._consumer.assign(partitions)
            self._consumer.seek_to_beginning(*partitions)
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def to_the_end(self, deadline: Deadline) -> Iterator[tuple[Mark, Any]]:
        """Give what is there by now."""
        ends = self._consumer.end_offsets(list(self._consumer.assignment()))
        while any(self._consumer.position(partition) < end for partition, end in ends.items()):
            if deadline.expired:
                raise UnreachableError(f"not read to its end within {in_seconds(deadline.seconds)}", where=self._where)
            yield from self._poll()

    def until(self, progress: Callable[[], int], goal: int, patience_seconds: float) -> Iterator[tuple[Mark, Any]]:
        """Give what is there and what comes, until the goal is reached and all is quiet, or progress stops."""
        reached, deadline = progress(), Deadline(patience_seconds)
        while reached < goal and not deadline.expired:
            yield from self._poll()
            if progress() > reached:
                reached, deadline = progress(), Deadline(patience_seconds)
        yield from self.to_the_end(Deadline(patience_seconds))
        settle = Deadline(SETTLE_SECONDS)
        while not settle.expired:
            yield from self._poll()

    def _poll(self) -> Iterator[tuple[Mark, Any]]:
        for records in self._consumer.poll(_POLL_MILLISECONDS).values():
            for record in records:
                mark = _mark(record.value)
                if mark is not None:
                    yield mark, record

    def _partitions(self, topic: str) -> list[int]:
        found = self._consumer.partitions_for_topic(topic)
        if not found:
            raise UsageError(f"there is no topic {topic!r}", where=self._where)
        return sorted(found)


def _mark(value: bytes | None) -> Mark | None:
    """Give a message's stream and sequence number; None if it has none: somebody else's."""
    try:
        data = json.loads(value or b"")
        return str(data["stream"]), int(data["sequence"])
    except (ValueError, TypeError, KeyError):
        return None
