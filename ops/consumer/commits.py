"""Tells the brokers which offsets are finished: one request at a time, made again when it failed.

It belongs to the poll thread, or to kafka-python's event loop while the poll thread waits in a rebalance.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import FencedInstanceIdError, KafkaError
from kafka.structs import OffsetAndMetadata

from ops.consumer.ledger import OffsetLedger, Place
from ops.consumer.rejoin import Membership

log = logging.getLogger(__name__)

COMMIT_SECONDS = 10.0
_RETRY_SECONDS = 0.2


class Commits:
    """The commits of one group's connection.

    Parameters
    ----------
    group : its id, for logs.
    consumer, membership : the connection, and its place in the group.

    Attributes
    ----------
    waiting_since : when something was finished that no acknowledged commit has told of (monotonic clock); None for
        nothing.
    """

    def __init__(self, group: str, consumer: KafkaConsumer, membership: Membership) -> None:
        self._group = group
        self._consumer = consumer
        self._membership = membership
        self._ledger: OffsetLedger[TopicPartition] = OffsetLedger()
        self._under_way: dict[TopicPartition, Place] | None = None
        self._not_before = 0.0
        self.waiting_since: float | None = None

    @property
    def pending(self) -> bool:
        """Whether anything is finished and not acknowledged."""
        return bool(self._ledger.due())

    def finish(self, partition: TopicPartition, offset: int) -> None:
        """Note that everything before `offset` is done and its output acknowledged."""
        self._ledger.finish(partition, offset)
        if self.waiting_since is None:
            self.waiting_since = time.monotonic()

    @property
    def under_way(self) -> bool:
        """Whether a request is under way."""
        return self._under_way is not None

    def put(self, partition: TopicPartition, place: Place) -> None:
        """Note what is to be committed of a partition whose marks its lanes keep."""
        self._ledger.put(partition, place)
        if self.waiting_since is None:
            self.waiting_since = time.monotonic()

    def begin(self) -> None:
        """Send what is finished, unless a request is under way or has just failed."""
        if self._under_way is None and time.monotonic() >= self._not_before:
            due = self._ledger.due()
            if due:
                self._under_way = due
                self._consumer.commit_async(_metadata(due), self._answered)

    def now(self) -> bool:
        """Commit what is finished and wait for it; what the cluster refuses for good is given up and said: False then.

        Raises
        ------
        FencedInstanceIdError : another member has joined under its instance id.
        KafkaError : one that passes; it may be tried again.
        """
        due = self._ledger.due()
        taken = True
        if due:
            try:
                self._consumer.commit(_metadata(due), timeout_ms=COMMIT_SECONDS * 1000)
            except KafkaError as error:
                if error.retriable or isinstance(error, FencedInstanceIdError):
                    raise
                self._failed("the commit", error, len(due))
                self.forget()
                taken = False
            else:
                self._acknowledged(due)
        self._under_way = None
        return taken

    def finally_(self) -> None:
        """Commit what is finished and wait for it: the last thing before the connection is closed.

        Raises
        ------
        FencedInstanceIdError : another member has joined under its instance id.
        """
        try:
            self.now()
        except FencedInstanceIdError:
            raise
        except KafkaError as error:
            self._failed("the last commit", error, len(self._ledger.due()))
        self.forget()

    async def before_rebalance(self) -> None:
        """Commit what is finished on the client's event loop, and give the partitions up.

        Raises
        ------
        FencedInstanceIdError : another member has joined under its instance id.
        """
        due = self._ledger.due()
        if due:
            try:
                await self._membership.commit(_metadata(due), COMMIT_SECONDS)
            except FencedInstanceIdError:
                raise
            except KafkaError as error:
                self._failed("the commit before the rebalance", error, len(due))
        self.forget()

    def forget(self) -> None:
        """Forget everything: the partitions are given up."""
        self._ledger.forget()
        self._under_way = None
        self.waiting_since = None

    def _acknowledged(self, places: dict[TopicPartition, Place]) -> None:
        self._ledger.committed(places)
        self.waiting_since = time.monotonic() if self.pending else None

    def _answered(self, offsets: dict[TopicPartition, OffsetAndMetadata], response: Any) -> None:
        sent = {partition: Place(one.offset, one.metadata) for partition, one in offsets.items()}
        if self._under_way == sent:
            self._under_way = None
        if isinstance(response, Exception):
            log.warning("group %s: commit failed, trying again: %s", self._group, _text(response))
            self._not_before = time.monotonic() + _RETRY_SECONDS
        else:
            self._acknowledged(sent)

    def _failed(self, what: str, error: KafkaError, partitions: int) -> None:
        log.error("group %s: %s failed, %d partition(s) will repeat messages: %s",
                  self._group, what, partitions, _text(error))  # fmt: skip


def _metadata(places: dict[TopicPartition, Place]) -> dict[TopicPartition, OffsetAndMetadata]:
    return {partition: OffsetAndMetadata(place.offset, place.note, -1) for partition, place in places.items()}


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
