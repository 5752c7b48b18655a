"""Consumer groups as a real cluster shows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, OffsetAndMetadata, TopicPartition

from ops.core.brokers import Brokers
from ops.core.cluster import Partition
from ops.core.errors import UnreachableError
from ops.kafka import schemas
from ops.kafka.classic_groups import describe_classic_groups
from ops.kafka.connection import Cluster
from ops.kafka.groups import group_types, observe
from ops.sandbox.shared import SharedKafka
from tests.labs.brokers import MakeKafka
from tests.labs.group_members import Heartbeat, Join

pytestmark = pytest.mark.kafka


def _produce(kafka: SharedKafka, topic: str, counts: list[int]) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, metrics_enabled=False)
    try:
        for partition, count in enumerate(counts):
            for _ in range(count):
                producer.send(topic, b"x", partition=partition)
        producer.flush(timeout=30)
    finally:
        producer.close()


def test_a_classic_group_shows_static_members_assignments_and_lag(
    kafka: SharedKafka, cluster: Cluster, join: Join
) -> None:
    # Given two static members of a group, four partitions, and offsets committed in three of them
    topic, group = kafka.unique("topic"), kafka.unique("group")
    kafka.create_topics({topic: 4})
    _produce(kafka, topic, [5, 3, 0, 2])
    first, second = join(group, [topic], "app.h1.karafka.0", "app.h1.karafka.1")
    for consumer, offsets in ((first, {0: 2, 1: 3}), (second, {2: 0})):
        consumer.commit({TopicPartition(topic, n): OffsetAndMetadata(at, "", -1) for n, at in offsets.items()})

    # When the group is looked at
    (seen,) = observe(cluster, [group])

    # Then state, members and what each of them owns are there
    assert (seen.name, seen.type, seen.state, seen.assignor, seen.epoch) == (group, "classic", "Stable", "range", None)
    assert [member.instance_id for member in seen.members] == ["app.h1.karafka.0", "app.h1.karafka.1"]
    assert [member.client_id for member in seen.members] == ["client-of-app.h1.karafka.0", "client-of-app.h1.karafka.1"]
    assert {member.host for member in seen.members} == {"127.0.0.1"}
    assert [member.topics for member in seen.members] == [(topic,), (topic,)]
    for member, consumer in zip(seen.members, (first, second), strict=True):
        assert member.partitions == tuple(sorted(Partition(one.topic, one.partition) for one in consumer.assignment()))
    assert set(seen.owners) == {Partition(topic, number) for number in range(4)}

    # And lag is known where an offset was committed, and unknown, not zero, where none was
    progress = [(one.partition.number, one.committed, one.end, one.lag) for one in seen.progress]
    assert progress == [(0, 2, 5, 3), (1, 3, 3, 0), (2, 0, 0, 0), (3, None, 2, None)]
    assert seen.lag is None


def test_a_topic_that_members_read_and_nobody_made_is_missing_and_its_lag_unknown(
    kafka: SharedKafka, cluster: Cluster, join: Join
) -> None:
    # Given a group that reads two topics, one of which is not on the cluster
    topic, absent, group = kafka.unique("topic"), kafka.unique("absent"), kafka.unique("group")
    kafka.create_topics({topic: 1})
    join(group, [topic, absent], "app.h1.karafka.0")
    # When it is looked at
    (seen,) = observe(cluster, [group])
    # Then the one is missing, the other is told of, and the lag of both together is unknown
    assert (seen.missing, [str(one.partition) for one in seen.progress]) == ((absent,), [f"{topic}-0"])
    assert seen.lag is None
    # And once it is made, it is not missing any more
    kafka.create_topics({absent: 1})
    assert observe(cluster, [group])[0].missing == ()


def test_a_kip_848_group_is_not_dead(kafka: SharedKafka, cluster: Cluster, heartbeat: Heartbeat) -> None:
    # Given a member by the new protocol
    topic, group = kafka.unique("topic"), kafka.unique("group")
    kafka.create_topics({topic: 3})
    epoch = heartbeat(group, "app.h1.karafka.0", [topic])

    # When the group is looked at, beside one that does not exist
    nobody = kafka.unique("nobody")
    seen, missing = observe(cluster, [group, nobody])

    # Then it lives, with its member and all its partitions
    assert (seen.type, seen.assignor, seen.epoch) == ("consumer", "uniform", epoch)
    assert seen.state in ("Stable", "Reconciling")
    assert [(member.instance_id, member.topics) for member in seen.members] == [("app.h1.karafka.0", (topic,))]
    assert group_types(cluster)[group] == "consumer"

    # And the other is Dead, with nothing known of it
    assert (missing.type, missing.state, missing.members, missing.progress) == ("", "Dead", (), ())


def test_our_description_of_the_protocol_is_the_brokers_own(broker_schemas: Path) -> None:
    # Given Kafka's own description of the message and ours
    def essence(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: essence(item) for key, item in value.items() if key not in ("about", "entityType", "listeners")
            }
        return [essence(item) for item in value] if isinstance(value, list) else value

    for kind in ("Request", "Response"):
        name = f"ConsumerGroupDescribe{kind}.json"
        lines = (broker_schemas / name).read_text().splitlines()
        theirs = json.loads("\n".join(line for line in lines if not line.strip().startswith("//")))
        ours = json.loads((Path(str(schemas.__file__)).parent / name).read_text())

        # Then they say the same
        assert ours == essence(theirs)


def test_a_group_without_members_keeps_its_offsets_and_a_deleted_topic_has_no_end(
    kafka: SharedKafka, cluster: Cluster
) -> None:
    # Given a group that committed offsets of two topics and left, and one of them deleted
    kept, deleted, group = kafka.unique("kept"), kafka.unique("deleted"), kafka.unique("group")
    kafka.create_topics({kept: 1, deleted: 1})
    _produce(kafka, kept, [4])
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        offsets = {TopicPartition(topic, 0): OffsetAndMetadata(1, "", -1) for topic in (kept, deleted)}
        cluster.ask(lambda _: admin.alter_group_offsets(group, offsets))

        # When it is looked at
        (seen,) = observe(cluster, [group])

        # Then lag is known for both
        assert (seen.state, seen.members) == ("Empty", ())
        assert {one.partition.topic: one.lag for one in seen.progress} == {kept: 3, deleted: 0}
        assert seen.lag == 3

        # When a topic is gone, then the rest is still told
        admin.delete_topics([deleted])
        (seen,) = observe(cluster, [group])
        assert {one.partition.topic: one.lag for one in seen.progress}[kept] == 3
        assert {one.partition.topic: one.end for one in seen.progress}.get(deleted) is None
    finally:
        admin.close()


def test_many_groups_are_answered_in_the_order_they_were_asked_for(kafka: SharedKafka, cluster: Cluster) -> None:
    # Given thirty groups with committed offsets
    topic = kafka.unique("topic")
    kafka.create_topics({topic: 2})
    names = [kafka.unique(f"group{number}") for number in range(30)]
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    try:
        for name in names:
            offsets = {TopicPartition(topic, 0): OffsetAndMetadata(0, "", -1)}
            cluster.ask(lambda _, name=name, offsets=offsets: admin.alter_group_offsets(name, offsets))
    finally:
        admin.close()

    # When they are asked for backwards, then they are answered so
    asked = names[::-1]
    assert [group.name for group in observe(cluster, asked)] == asked

    # And asked for all groups, they are among them
    everything = {group.name: group for group in observe(cluster)}
    assert set(names) <= set(everything)
    assert everything[names[0]].lag == 0


@pytest.mark.usefixtures("failed_attempts")
def test_a_fresh_cluster_is_asked_again_until_it_has_a_coordinator(own_kafka: MakeKafka) -> None:
    # Given a cluster that has never had a group
    broker = own_kafka()
    with Cluster(Brokers.at(broker.bootstrap), timeout_seconds=30) as cluster:
        # When a group of it is described at once, then there is an answer
        assert cluster.ask(lambda admin: describe_classic_groups(admin, ["nobody"])) == []

        # When the broker freezes, then the question ends in time
        with Cluster(Brokers.at(broker.bootstrap), timeout_seconds=2) as impatient:
            observe(impatient)
            broker.pause()
            with pytest.raises(UnreachableError, match="no answer within 2 s"):
                observe(impatient)
            broker.resume()

            # And when it thaws, the same client is answered again
            assert observe(cluster, ["nobody"])[0].state == "Dead"
