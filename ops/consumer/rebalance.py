"""kafka-python's callbacks of a rebalance, run on the client's event loop while the poll thread waits inside it."""

from __future__ import annotations

from typing import Protocol

from kafka import TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener


class Releasing(Protocol):
    """Who owns partitions."""

    async def release(self, *, lost: bool) -> None:
        """Give all partitions up; `lost` ones are somebody else's already."""

    def take_over(self, assigned: set[TopicPartition]) -> None:
        """Begin with the partitions of a new assignment."""


class RebalanceCallbacks(AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Hands kafka-python's callbacks to the source; they run on the client's event loop."""

    def __init__(self, source: Releasing) -> None:
        self._source = source

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        """Release them, committing."""
        del revoked  # all of them: the assignor is an eager one
        await self._source.release(lost=False)

    async def on_partitions_lost(self, lost: set[TopicPartition]) -> None:
        """Release them; somebody else owns them already."""
        del lost
        await self._source.release(lost=True)

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        """Take them over."""
        self._source.take_over(assigned)
