"""Groups to look at: classic members by kafka-python, a KIP-848 member in Kafka's own protocol."""

from __future__ import annotations

import gc
import importlib
import logging
import sys
import threading
import uuid
import zipfile
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ops.core.brokers import Brokers
from ops.core.cluster import Partition
from ops.core.deadline import Deadline
from ops.core.standing import Standing
from ops.sandbox.jars import kafka_jars
from ops.sandbox.shared import SharedKafka

# kafka-python is imported in the fixtures: this file may be read before the root's warning filters are set
if TYPE_CHECKING:
    from ops.kafka.connection import Cluster


@pytest.fixture
def cluster(kafka: SharedKafka) -> Iterator[Cluster]:
    from ops.kafka.connection import Cluster

    with Cluster(Brokers.at(kafka.bootstrap), timeout_seconds=20) as opened:
        yield opened


@pytest.fixture
def join(kafka: SharedKafka) -> Iterator[Callable[..., list[Any]]]:
    """Makes classic members of a group, together; gives them when each has its assignment."""
    from kafka import KafkaConsumer

    consumers: list[Any] = []

    def make(group: str, topics: list[str], *instances: str | None) -> list[Any]:
        mine = [
            KafkaConsumer(
                *topics,
                bootstrap_servers=kafka.bootstrap,
                group_id=group,
                group_instance_id=instance,
                client_id=f"client-of-{instance or 'nobody'}",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                heartbeat_interval_ms=300,
                session_timeout_ms=30_000,
                metrics_enabled=False,
            )
            for instance in instances
        ]
        consumers.extend(mine)

        deadline = Deadline(60)

        def settled() -> bool:
            owned = [partition for consumer in mine for partition in consumer.assignment()]
            return all(consumer.assignment() for consumer in mine) and len(owned) == len(set(owned))

        def poll(consumer: Any) -> None:
            while not settled() and not deadline.expired:
                consumer.poll(2000)  # a shorter one may cut off a join, which kafka-python 3.0.12 never takes up again

        with ThreadPoolExecutor(len(mine)) as pool:
            list(pool.map(poll, mine))
        assert settled()
        return mine

    yield make
    for consumer in consumers:
        consumer.close()


@pytest.fixture(scope="session")
def broker_schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kafka's own descriptions of its messages, out of the broker's jar, as a package."""
    package = tmp_path_factory.mktemp("schemas") / "broker_schemas"
    package.mkdir()
    (package / "__init__.py").touch()
    (jar,) = kafka_jars().glob("kafka-clients-*.jar")
    with zipfile.ZipFile(jar) as archive:
        for api in ("ConsumerGroupHeartbeat", "ConsumerGroupDescribe"):
            for kind in ("Request", "Response"):
                name = f"common/message/{api}{kind}.json"
                (package / f"{api}{kind}.json").write_bytes(archive.read(name))
    return package


@pytest.fixture
def heartbeat(
    broker_schemas: Path, kafka: SharedKafka, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Joins a KIP-848 group with an instance id, and stays until the assignment is there; leaves at the end."""
    from kafka import KafkaAdminClient
    from kafka.protocol.api_message import ApiMessage

    monkeypatch.syspath_prepend(str(broker_schemas.parent))
    importlib.import_module("broker_schemas")
    request = type("ConsumerGroupHeartbeatRequest", (ApiMessage,), {}, load_json="broker_schemas")
    response = type("ConsumerGroupHeartbeatResponse", (ApiMessage,), {}, load_json="broker_schemas")
    assert response.API_KEY == request.API_KEY
    cluster.ask(lambda admin: admin.list_group_offsets("nobody"))  # a fresh cluster has no coordinator at first
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    joined: list[tuple[str, str, str]] = []

    def beat(group: str, member: str, instance: str, epoch: int, topics: list[str] | None, owned: Any) -> Any:
        return admin._manager.run(
            admin._manager.send,
            request(
                group_id=group,
                member_id=member,
                member_epoch=epoch,
                instance_id=instance,
                rack_id=None,
                rebalance_timeout_ms=30_000 if epoch == 0 else -1,
                subscribed_topic_names=topics,
                subscribed_topic_regex=None,
                server_assignor=None,
                topic_partitions=owned,
                max_version=1,
            ),
            admin._manager.run(admin._find_coordinator_id, group),
        )

    def join(group: str, instance: str, topics: list[str]) -> int:
        member = str(uuid.uuid4())
        answer = beat(group, member, instance, 0, topics, [])
        assert answer.error_code == 0, answer
        joined.append((group, member, instance))

        def assigned() -> int:
            more = beat(group, member, instance, answer.member_epoch, None, None)
            given = more.assignment or answer.assignment
            return more.member_epoch if given is not None and given.topic_partitions else 0

        epoch = Deadline(20).poll(assigned, every=0.2)
        assert epoch
        return epoch

    yield join
    for group, member, instance in joined:
        beat(group, member, instance, -1, None, None)
    admin.close()
    sys.modules.pop("broker_schemas", None)


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


@pytest.fixture
def work() -> Iterator[Callable[..., Worker]]:
    """Makes workers; ends them."""
    workers: list[Worker] = []

    def make(bootstrap: str, group: str, topics: Collection[str], instance: str | None, **how: Any) -> Worker:
        workers.append(Worker(bootstrap, group, topics, instance, **how))
        return workers[-1]

    yield make
    for worker in workers:
        worker._stop.set()
    for worker in workers:
        worker.stop()


@pytest.fixture
def failed_attempts(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Sweeps up the sockets that kafka-python 3.0.12 leaves to the garbage collector when nobody listens."""
    caplog.set_level(logging.CRITICAL, "kafka")  # captured records would hold the errors, and these the sockets
    yield
    gc.collect()
