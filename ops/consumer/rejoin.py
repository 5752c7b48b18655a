"""The consumer's place in its group: everything that kafka-python keeps to itself and we need, in one place.

**The zombie-member fault** (kafka-python 3.0.12): a rejoin that metadata caused (the leader's snapshot of the topics
changed) is wanted as long as two snapshots differ. A short `poll` that cuts the join off leaves it running; the join
itself makes the snapshots equal, and then nobody takes its result: the member stays in REBALANCING, sends no
heartbeat and blocks the group until its session ends, or goes on fetching while every commit fails. Here

- the first snapshot is taken before the first join (`begin`);
- joins are awaited with long timeouts (`join`), short polls come only once the member is stable;
- what wants a rejoin is made to last until the join is through (`keep_wanting`);
- a member that is stuck all the same is found and asked to rejoin (`heal`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import FencedInstanceIdError, KafkaError
from kafka.structs import OffsetAndMetadata

from ops.consumer.client import learn_topics

log = logging.getLogger(__name__)

_STUCK_SECONDS = 0.1
_SILENT_SECONDS = 1.0


class Membership:
    """One consumer's membership.

    Parameters
    ----------
    consumer : subscribed, or about to be.

    Attributes
    ----------
    heals : how often a stuck member was asked to rejoin.
    """

    def __init__(self, consumer: KafkaConsumer) -> None:
        self.heals = 0
        self._consumer = consumer
        self._coordinator: Any = consumer._coordinator
        self._stuck_since: float | None = None
        self._silent_since: float | None = None

    @property
    def joined(self) -> bool:
        """Whether it is a stable member and nothing wants it to rejoin."""
        return bool(self._coordinator.stable()) and not self._coordinator.need_rejoin()

    @property
    def member_id(self) -> str:
        """The id that the group's coordinator gave it."""
        return str(self._coordinator.group_metadata().member_id)

    @property
    def generation(self) -> int:
        """The group's generation that it is in; -1 before the first."""
        return int(self._coordinator.group_metadata().generation_id)

    def learn(self, topics: Iterable[str], timeout_seconds: float) -> set[str]:
        """Learn topics, the group's coordinator and the partitions' leaders, and connect to them; give what exists.

        So that a join, and the first fetch after it, wait for nothing else.
        """
        consumer, limit = self._consumer, timeout_seconds * 1000
        asked = learn_topics(consumer._cluster, topics)
        try:
            consumer._net.run(consumer._manager.wait_for, asked, limit)
            partitions = [
                TopicPartition(topic, number)
                for topic in topics
                for number in consumer._cluster.partitions_for_topic(topic) or ()
            ]
            if partitions:
                consumer.end_offsets(partitions, timeout_ms=limit)
                consumer.committed(partitions[0], timeout_ms=limit)
        except KafkaError as error:
            log.warning("not everything could be learned beforehand: %s: %s", type(error).__name__, error)
        return {topic for topic in topics if consumer._cluster.partitions_for_topic(topic)}

    def begin(self) -> None:
        """Take the topics' partitions as they are known; to be called once subscribed.

        Otherwise the leader's first snapshot is empty, and the next metadata makes the whole group join twice.
        """
        self._coordinator._handle_metadata_update(self._consumer._cluster)

    def join(self, timeout_seconds: float) -> bool:
        """Join or rejoin: the first half of a poll, which returns as soon as there is an assignment."""
        return bool(self._coordinator.poll(timeout_ms=timeout_seconds * 1000)) and self.joined

    def keep_wanting(self) -> None:
        """Make the rejoin that is beginning stay wanted until it is through."""
        self._coordinator.request_rejoin()

    def heal(self) -> None:
        """Ask a member that is stuck in a finished join to rejoin; to be called each turn of the poll loop."""
        coordinator = self._coordinator
        task = coordinator._join_task
        stuck = coordinator.rejoining and not coordinator.need_rejoin() and task is not None and task.is_done
        if not stuck:
            self._stuck_since = None
        elif self._stuck_since is None:
            self._stuck_since = time.monotonic()
        elif time.monotonic() - self._stuck_since >= _STUCK_SECONDS:
            self._stuck_since = None
            self.heals += 1
            log.warning("a join was never taken up again; rejoining (heal %d)", self.heals)
            coordinator.request_rejoin()

    def check_fenced(self) -> None:
        """Find out a member that was fenced and has nothing to commit: its heartbeat has ended in silence.

        Raises
        ------
        FencedInstanceIdError : another member has joined under its instance id.
        """
        coordinator = self._coordinator
        silent = self.joined and not coordinator.rejoining and not coordinator._heartbeat_enabled
        if not silent:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = time.monotonic()
        elif time.monotonic() - self._silent_since >= _SILENT_SECONDS:
            raise FencedInstanceIdError(f"the heartbeat of {coordinator.group_instance_id} was refused")

    def unpark(self) -> None:
        """Let partitions that were paused and resumed be read again; to be called before each poll.

        kafka-python 3.0.12 parks what it had read of a paused partition, and takes it up again only where its place
        for the records in hand is None; it leaves an exhausted object there, so the partition would stay mute.
        """
        fetcher = self._consumer._fetcher
        if fetcher._paused_partition_records and not fetcher._next_partition_records:
            fetcher._next_partition_records = None

    def fetch_wait(self, seconds: float) -> None:
        """Set how long the brokers hold the next fetches back while there is nothing new."""
        self._consumer._fetcher.config["fetch_max_wait_ms"] = int(seconds * 1000)

    async def sleep(self, seconds: float) -> None:
        """Sleep on the client's own event loop, heartbeats going on."""
        await self._consumer._net.sleep(seconds)

    async def commit(self, offsets: dict[TopicPartition, OffsetAndMetadata], timeout_seconds: float) -> None:
        """Commit on the client's own event loop; the public call would wait for itself there."""
        await self._coordinator._commit_offsets_sync_async(offsets, timeout_ms=timeout_seconds * 1000)

    def committed(
        self, partitions: Iterable[TopicPartition], timeout_seconds: float
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """Ask what is committed, with its metadata, in one request; partitions of which nothing is are left out."""
        found = self._coordinator.fetch_committed_offsets(list(partitions), timeout_ms=timeout_seconds * 1000)
        return {partition: place for partition, place in found.items() if place.offset >= 0}

    def forget_positions(self) -> None:
        """Give all partitions up, so that each is read from its committed offset after the rebalance.

        Without it a partition that stays here goes on where fetching stopped, which is beyond what was given up
        unprocessed, and beyond or behind what another member did in between.
        """
        self._consumer._subscription.assign_from_subscribed([])

    def reread(self, partitions: frozenset[TopicPartition]) -> None:
        """Keep the partitions, and read each again from its committed offset."""
        self.forget_positions()
        self._consumer._subscription.assign_from_subscribed(list(partitions))
