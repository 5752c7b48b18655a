"""One broker for all the processes of a test run: the first one starts it, the last one ends it."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ops.core.identity import Identity
from ops.sandbox.census import end_all, guard
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.lockfile import locked


class SharedKafka:
    """What a user of the shared broker may do with it: anything but stopping it.

    Attributes
    ----------
    bootstrap : where clients connect to, `127.0.0.1:PORT`.
    """

    def __init__(self, broker: EmbeddedKafka) -> None:
        self._broker = broker
        self.bootstrap = broker.bootstrap

    def create_topics(self, partitions: Mapping[str, int], config: Mapping[str, str] | None = None) -> None:
        """Make topics, as `EmbeddedKafka.create_topics` does."""
        self._broker.create_topics(partitions, config)

    def unique(self, name: str) -> str:
        """Give a name for a topic or a group that nobody else of this run has."""
        return f"{name}-{secrets.token_hex(4)}"


@contextmanager
def shared_kafka(directory: Path, owner: Identity) -> Iterator[SharedKafka]:
    """Use the broker below `directory`, started by whoever comes first, ended by whoever leaves last.

    Parameters
    ----------
    owner : the process that no broker may outlive, even if its users are killed.
    """
    with locked(directory / "lock"):
        broker = _running(directory)
        if broker is None:
            broker = EmbeddedKafka(directory / "broker")
            broker.start()
            guard(directory, owner)
        _count(directory, broker, +1)
    try:
        yield SharedKafka(broker)
    finally:
        with locked(directory / "lock"):
            if _count(directory, broker, -1) == 0:
                end_all(directory, timeout_seconds=0)
                shutil.rmtree(directory / "broker")


def _state(directory: Path) -> Path:
    return directory / "state.json"


def _running(directory: Path) -> EmbeddedKafka | None:
    """Give the broker that somebody else of this run started; None where it has ended."""
    try:
        broker = EmbeddedKafka.load(json.loads(_state(directory).read_text())["broker"])
    except FileNotFoundError:
        return None
    if broker.running.alive():
        return broker
    _state(directory).unlink()
    return None


def _count(directory: Path, broker: EmbeddedKafka, change: int) -> int:
    """Count users up or down; gives how many there are now."""
    path = _state(directory)
    users = change + (int(json.loads(path.read_text())["users"]) if path.exists() else 0)
    if users:
        path.write_text(json.dumps({"users": users, "broker": broker.record()}))
    else:
        path.unlink()
    return users
