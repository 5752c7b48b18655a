"""Groups to look at: classic members by kafka-python, a KIP-848 member in Kafka's own protocol."""

from __future__ import annotations

import gc
import importlib
import logging
import sys
import uuid
import zipfile
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.sandbox.jars import kafka_jars
from ops.sandbox.shared import SharedKafka
from tests.labs.group_members import Heartbeat, Join, MakeWorker

# kafka-python is imported in the fixtures: this file may be read before the root's warning filters are set
if TYPE_CHECKING:
    from ops.kafka.connection import Cluster
from tests.labs.group_members import Worker


@pytest.fixture
def cluster(kafka: SharedKafka) -> Iterator[Cluster]:
    from ops.kafka.connection import Cluster

    with Cluster(Brokers.at(kafka.bootstrap), timeout_seconds=20) as opened:
        yield opened


@pytest.fixture
def join(kafka: SharedKafka) -> Iterator[Join]:
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
) -> Iterator[Heartbeat]:
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


@pytest.fixture
def work() -> Iterator[MakeWorker]:
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
