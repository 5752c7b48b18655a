"""How far a group's partitions are behind, as the consumer itself knows it: nobody is asked for it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable

from kafka import KafkaConsumer, TopicPartition

from ops.consumer.readers import Reader

_EVERY_SECONDS = 1.0


class Behind:
    """Adds up the lag of the own partitions. `look` is the poll thread's; `messages` anybody may read.

    Attributes
    ----------
    messages : between what was fetched and the end of each partition, as the last fetches told it, and what was fetched
        and waits here; None before the first fetch of each.
    """

    def __init__(self, consumer: KafkaConsumer, threads: Collection[Reader]) -> None:
        self.messages: int | None = None
        self._consumer = consumer
        self._threads = threads
        self._looked_at = float("-inf")

    def look(self, partitions: Iterable[TopicPartition]) -> None:
        """Count anew, if a second has passed."""
        now = time.monotonic()
        if now - self._looked_at < _EVERY_SECONDS:
            return
        self._looked_at = now
        states = self._consumer._subscription.assignment  # position() of the consumer may wait for the broker
        lags = []
        for partition in partitions:
            state = states.get(partition)
            if state is None or state.highwater is None or state.position is None:
                self.messages = None
                return
            lags.append(max(state.highwater - state.position.offset, 0))
        self.messages = sum(lags) + sum(thread.backlog for thread in self._threads)
