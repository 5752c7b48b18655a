"""What labs need of a broker, and how tests get brokers of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ops.sandbox.kafka import EmbeddedKafka


class Broker(Protocol):
    """A broker, shared or a test's own."""

    @property
    def bootstrap(self) -> str: ...

    def create_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] | None = None) -> None: ...


class MakeKafka(Protocol):
    """Starts a broker of a test's own."""

    def __call__(self, properties: dict[str, str] | None = None) -> EmbeddedKafka: ...
