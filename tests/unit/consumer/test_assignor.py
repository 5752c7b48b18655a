"""Who of a group gets which partitions: each is owned once, by a member that subscribes to its topic."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from ops.consumer.assignor import RoundRobin

COUNTS = {"a": 3, "b": 2, "c": 5, "gone": None}
TOPICS = st.lists(st.sampled_from(sorted(COUNTS)), unique=True, max_size=4)
CLUSTER = SimpleNamespace(
    partitions_for_topic=lambda topic: None if COUNTS[topic] is None else set(range(COUNTS[topic] or 0))
)


def members(subscriptions: list[tuple[str | None, list[str]]]) -> list[Any]:
    return [
        SimpleNamespace(
            member_id=f"m{number}", group_instance_id=instance, metadata=ConsumerProtocolSubscription(1, topics, b"")
        )
        for number, (instance, topics) in enumerate(subscriptions)
    ]


def dealt(assignor: Any, group: list[Any]) -> dict[str, list[tuple[str, int]]]:
    """Return each member's partitions."""
    found = assignor.assign(CLUSTER, group)
    return {
        member: [(topic, number) for topic, numbers in one.assigned_partitions for number in numbers]
        for member, one in found.items()
    }


@given(st.lists(st.tuples(st.none() | st.sampled_from("xyz"), TOPICS), min_size=1, max_size=5))
def test_every_partition_has_one_owner_that_subscribes_to_it(subscriptions: list[tuple[str | None, list[str]]]) -> None:
    # Given members, static and dynamic ones mixed, with subscriptions that differ
    group = members(subscriptions)
    # When the partitions are dealt out
    found = dealt(RoundRobin, group)
    # Then each member is told what it has, and each partition of a topic that somebody reads has one owner
    wanted = {topic for _, topics in subscriptions for topic in topics}
    owned = [one for some in found.values() for one in some]
    assert sorted(owned) == [(topic, n) for topic in sorted(wanted) for n in range(COUNTS[topic] or 0)]
    assert found.keys() == {member.member_id for member in group}
    for member in group:
        assert {topic for topic, _ in found[member.member_id]} <= set(member.metadata.topics)


@given(TOPICS, st.integers(1, 5), st.booleans())
def test_where_all_read_the_same_it_deals_as_kafka_python_does(topics: list[str], count: int, static: bool) -> None:
    # Given members that all read the same, and are of one kind
    group = members([(f"i{number}" if static else None, topics) for number in reversed(range(count))])
    # Then a leader of another release would have given them the same
    assert dealt(RoundRobin, group) == dealt(RoundRobinPartitionAssignor, group)
