"""What comes in and what goes out, without a word of the client library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes]]


class Message(Protocol):
    """One message as it was read; kafka-python's ConsumerRecord is one."""

    @property
    def topic(self) -> str:
        """The topic's name on the cluster."""

    @property
    def partition(self) -> int:
        """The partition's number."""

    @property
    def offset(self) -> int:
        """Where it stands in the partition."""

    @property
    def timestamp(self) -> int:
        """Milliseconds since the epoch."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its content; None is a tombstone."""

    @property
    def headers(self) -> Headers:
        """Its headers."""


@dataclass(frozen=True)
class PlainMessage:
    """A message made by hand, for tests and tools."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


class Output(NamedTuple):
    """One message to be sent; `topic` is its name on the cluster. Without `partition` the key decides."""

    topic: str
    value: bytes | None
    key: bytes | None = None
    headers: Headers = ()
    partition: int | None = None
