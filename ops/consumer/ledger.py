"""Which offsets are finished, and which of them the brokers have still to be told.

It belongs to the poll thread: topic threads hand finished offsets over a queue.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

P = TypeVar("P", bound=Hashable)


class Place(NamedTuple):
    """What is committed of a partition: the offset of the next message to be read, as Kafka counts, and a note."""

    offset: int
    note: str = ""


class OffsetLedger(Generic[P]):
    """Places by partition."""

    def __init__(self) -> None:
        self._due: dict[P, Place] = {}

    def finish(self, partition: P, offset: int) -> None:
        """Note that everything before `offset` is done and its output acknowledged."""
        known = self._due.get(partition)
        if known is None or offset > known.offset:
            self._due[partition] = Place(offset)

    def put(self, partition: P, place: Place) -> None:
        """Note a place in the stead of whatever is due."""
        self._due[partition] = place

    def due(self) -> dict[P, Place]:
        """Give what is to be committed."""
        return dict(self._due)

    def committed(self, places: dict[P, Place]) -> None:
        """Strike out what the brokers acknowledged."""
        for partition, place in places.items():
            known = self._due.get(partition)
            if known is not None and (known == place or known.offset < place.offset):
                del self._due[partition]

    def forget(self) -> None:
        """Forget everything: the partitions are given up."""
        self._due.clear()
