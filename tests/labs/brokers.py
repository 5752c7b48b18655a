"""What labs need of a broker, and how tests get brokers of their own."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Protocol

from ops.sandbox.kafka import EmbeddedKafka


class Broker(Protocol):
    """A broker, shared or a test's own."""

    @property
    def bootstrap(self) -> str: ...

    def create_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] | None = None) -> None: ...


class SpareKafka(EmbeddedKafka):
    """A broker that tests stop, kill and freeze, one after the other; each has names of its own in it."""

    def unique(self, name: str) -> str:
        """Return a name for a topic or a group that no other test has."""
        return f"{name}-{secrets.token_hex(4)}"

    def mend(self) -> None:
        """Let it run again, whatever a test has left of it."""
        if self.daemon is not None and self.daemon.alive():
            self.resume()
        else:
            self.start()


class MakeKafka(Protocol):
    """Starts a broker of a test's own."""

    def __call__(self, properties: dict[str, str] | None = None) -> EmbeddedKafka: ...
