"""Where partitions begin of which nothing is committed, committed at once.

A group that begins at the end must skip nothing by a rebalance before its first message; and lanes run nothing of a
partition before a commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from ops.consumer.commits import COMMIT_SECONDS, Commits
from ops.consumer.lane_pool import LanePool
from ops.consumer.readers import Reader


class Placement:
    """The partitions whose beginning is not committed yet."""

    def __init__(self) -> None:
        self._partitions: frozenset[TopicPartition] = frozenset()

    def wanted(self, partitions: Iterable[TopicPartition]) -> None:
        """Note more partitions."""
        self._partitions |= frozenset(partitions)

    def forget(self) -> None:
        """Forget all: they are given up."""
        self._partitions = frozenset()

    def place(
        self, consumer: KafkaConsumer, commits: Commits, readers: Mapping[str, Reader], fetched: Mapping[Any, Any]
    ) -> None:
        """See to it that they are committed, as far as they are known by now.

        Parameters
        ----------
        fetched : records that were read and not handed over yet; the partition begins with them.
        """
        left = set()
        for partition in self._partitions:
            if partition in fetched:
                position = fetched[partition][0].offset
            else:
                position = consumer.position(partition, timeout_ms=COMMIT_SECONDS * 1000)
            reader = readers[partition.topic]
            if position is None:
                left.add(partition)
            elif isinstance(reader, LanePool):
                reader.begin_at(partition, position)
            else:
                commits.finish(partition, position)
        self._partitions = frozenset(left)
