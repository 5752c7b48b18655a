"""Back-pressure: partitions whose threads have enough to do are paused, nobody else's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from kafka import KafkaConsumer, TopicPartition


class Reader(Protocol):
    """What messages are handed to."""

    def full(self, partition: TopicPartition) -> bool:
        """Whether nothing more of a partition may be read."""

    def spacious(self, partition: TopicPartition) -> bool:
        """Whether a partition that was full may be read again."""


class Pressure:
    """Which partitions of one connection are paused.

    Parameters
    ----------
    readers : by topic.
    """

    def __init__(self, consumer: KafkaConsumer, readers: Mapping[str, Reader]) -> None:
        self._consumer = consumer
        self._readers = readers
        self._paused: set[TopicPartition] = set()

    @property
    def paused(self) -> bool:
        """Whether any partition is."""
        return bool(self._paused)

    def balance(self, partitions: Iterable[TopicPartition]) -> None:
        """Pause those whose readers are full, resume those with plenty of room."""
        for partition in partitions:
            reader = self._readers[partition.topic]
            if partition not in self._paused:
                if reader.full(partition):
                    self._paused.add(partition)
                    self._consumer.pause(partition)
            elif reader.spacious(partition):
                self._paused.discard(partition)
                self._consumer.resume(partition)

    def forget(self) -> None:
        """Forget everything: the partitions are given up."""
        self._paused.clear()
