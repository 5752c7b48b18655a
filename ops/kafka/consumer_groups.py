"""KIP-848 groups: kafka-python 3.0.12 calls them Dead, so they are asked in Kafka's own protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafka.protocol.api_message import ApiMessage

from ops.core.cluster import CONSUMER, Group, Member, Partition
from ops.kafka import coordinators, schemas


class ConsumerGroupDescribeRequest(ApiMessage, load_json=schemas.__name__):  # type: ignore[misc, call-arg]
    """API 69, since Kafka 4.0."""


class ConsumerGroupDescribeResponse(ApiMessage, load_json=schemas.__name__):  # type: ignore[misc, call-arg]
    """Its answer; kafka-python finds it by the API's number."""


def describe_consumer_groups(admin: Any, names: Sequence[str]) -> list[Group]:
    """Describe KIP-848 groups, one request for each coordinator.

    Raises
    ------
    KafkaError : the first error of any of them.
    """
    return [_group(group) for group in coordinators.describe(admin, names, _request)]


def _request(names: list[str]) -> Any:
    return ConsumerGroupDescribeRequest(group_ids=names, include_authorized_operations=False)


def _group(group: Any) -> Group:
    return Group(
        name=group.group_id,
        type=CONSUMER,
        state=group.group_state,
        assignor=group.assignor_name,
        epoch=group.group_epoch,
        members=tuple(
            sorted((_member(member) for member in group.members), key=lambda one: (one.instance_id or "", one.id))
        ),
    )


def _member(member: Any) -> Member:
    return Member(
        id=member.member_id,
        instance_id=member.instance_id,
        client_id=member.client_id,
        host=member.client_host.removeprefix("/"),
        topics=tuple(sorted(member.subscribed_topic_names)),
        partitions=tuple(
            sorted(
                Partition(topic.topic_name, number)
                for topic in member.assignment.topic_partitions
                for number in topic.partitions
            )
        ),
    )
