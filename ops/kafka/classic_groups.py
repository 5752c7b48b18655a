"""Groups whose members divide the partitions among themselves: the protocol before KIP-848."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kafka.protocol.admin import DescribeGroupsRequest
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment, ConsumerProtocolSubscription

from ops.core.cluster import CLASSIC, Group, Member, Partition
from ops.kafka import coordinators

_CONSUMERS = "consumer"  # Kafka Connect's workers form groups too, and speak another protocol


def describe_classic_groups(admin: Any, names: Sequence[str]) -> list[Group]:
    """Describe classic groups, one request for each coordinator.

    Not by the admin client's own `describe_groups`, which turns errors that pass into text.

    Raises
    ------
    KafkaError : the first error of any of them.
    """
    return [_group(group) for group in coordinators.describe(admin, names, _request)]


def _request(names: list[str]) -> Any:
    return DescribeGroupsRequest(groups=names, include_authorized_operations=False)


def _group(group: Any) -> Group:
    members = [_member(one) for one in group.members] if group.protocol_type == _CONSUMERS else []
    return Group(
        name=group.group_id,
        type=CLASSIC,
        state=group.group_state,
        assignor=group.protocol_data,
        members=tuple(sorted(members, key=lambda one: (one.instance_id or "", one.id))),
    )


def _member(member: Any) -> Member:
    # Both are empty while the group is still dividing its partitions
    subscription = ConsumerProtocolSubscription.decode(member.member_metadata) if member.member_metadata else None
    assignment = ConsumerProtocolAssignment.decode(member.member_assignment) if member.member_assignment else None
    return Member(
        id=member.member_id,
        instance_id=member.group_instance_id,
        client_id=member.client_id,
        host=member.client_host.removeprefix("/"),
        topics=tuple(sorted(subscription.topics)) if subscription else (),
        partitions=tuple(
            sorted(
                Partition(one.topic, number)
                for one in (assignment.assigned_partitions if assignment else ())
                for number in one.partitions
            )
        ),
    )
