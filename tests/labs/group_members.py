"""Members of consumer groups: classic ones in threads, and those of KIP-848 in Kafka's own protocol."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any, Protocol

from ops.core.cluster import Partition
from ops.core.deadline import Deadline
from ops.core.standing import Standing

# kafka-python is imported in the fixtures: this file may be read before the root's warning filters are set


class Worker:
    """A real member in a thread of its own: it polls, and commits what it is told to.

    Parameters
    ----------
    instance : its instance id; None for a dynamic member.
    commits : whether it ever commits.
    wedged : numbers of the partitions that it fetches nothing of.
    rebalance_ms : how long the brokers wait for it in a rebalance.
    """

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: Collection[str],
        instance: str | None,
        *,
        commits: bool = True,
        wedged: Collection[int] = (),
        rebalance_ms: int = 60_000,
    ) -> None:
        from kafka import KafkaConsumer

        self.group = group
        self.failure: Exception | None = None
        self.standing: Standing | None = None
        self.frozen = threading.Event()
        self._commits = commits
        self._wedged = frozenset(wedged)
        self._stop = threading.Event()
        self._consumer: Any = KafkaConsumer(
            bootstrap_servers=bootstrap,
            group_id=group,
            group_instance_id=instance,
            client_id=f"client-of-{instance or 'nobody'}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            heartbeat_interval_ms=200,
            session_timeout_ms=20_000,
            max_poll_interval_ms=rebalance_ms,
            metrics_enabled=False,
        )
        self._instance = instance
        for topic in topics:  # before the subscription: a short poll must not cut the first join off
            self._consumer.partitions_for_topic(topic)
        self._consumer.subscribe(list(topics))
        self._thread = threading.Thread(target=self._run, name=f"worker-{instance}")
        self._thread.start()

    def ready(self) -> Worker:
        """Wait until it has its assignment."""
        assert Deadline(30).poll(lambda: self.standing is not None or self.failure is not None)
        assert self.failure is None
        return self

    def stop(self) -> None:
        """Close it; a static member keeps its place."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        from kafka.errors import FencedInstanceIdError, KafkaError

        try:
            while not self._stop.is_set():
                if self.frozen.is_set():
                    self._stop.wait(0.05)
                    continue
                try:
                    self._turn()
                except KafkaError as error:
                    if isinstance(error, FencedInstanceIdError) or not error.retriable:
                        self.failure = error
                        return
                    self._stop.wait(0.2)
        finally:
            self._consumer.close(autocommit=False, timeout_ms=3000)

    def _turn(self) -> None:
        consumer = self._consumer
        # Until it is assigned nothing shorter: kafka-python 3.0.12 may never take up a join that was cut off
        fetched = consumer.poll(100 if consumer.assignment() else 2000)
        assigned = consumer.assignment()
        consumer.pause(*(one for one in assigned if one.partition in self._wedged))
        if fetched and self._commits:
            consumer.commit(timeout_ms=3000)
        coordinator = consumer._coordinator
        if assigned:
            self.standing = Standing(
                member_id=coordinator._generation.member_id,
                instance_id=self._instance,
                generation=coordinator._generation.generation_id,
                joined=True,
                partitions=tuple(sorted(Partition(one.topic, one.partition) for one in assigned)),
            )


class MakeWorker(Protocol):
    """Makes a worker: `work(bootstrap, group, topics, instance)`; `how` as of `Worker`."""

    def __call__(
        self, bootstrap: str, group: str, topics: Collection[str], instance: str | None, **how: Any
    ) -> Worker: ...


class Join(Protocol):
    """Makes classic members of a group, together."""

    def __call__(self, group: str, topics: list[str], *instances: str | None) -> list[Any]: ...


Heartbeat = Callable[[str, str, list[str]], int]
"""Joins a KIP-848 group: its name, the member's instance id, topics; gives the member's epoch."""
