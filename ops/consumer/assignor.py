"""Who of a group gets which partitions, also while its members subscribe to different topics.

kafka-python 3.0.12's round robin ends there with a KeyError, in the group's leader, and forgets members where static
and dynamic ones are mixed. While a release that reads other topics is rolled out, members differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from itertools import cycle
from typing import Any

from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from kafka.protocol.consumer.metadata import ConsumerProtocolAssignment


class RoundRobin(RoundRobinPartitionAssignor):  # type: ignore[misc]
    """Deals the partitions out in order, each to the next member that subscribes to its topic.

    Not range: with many topics of few partitions it gives everything to the group's first member. Members come in the
    order of their instance ids, dynamic ones last, as in kafka-python's: releases of either kind share a group.
    """

    @classmethod
    def assign(cls, cluster: Any, members: Collection[Any]) -> dict[str, Any]:
        """Give each member's assignment by its member id; called in the group's leader."""
        topics = {member.member_id: frozenset(member.metadata.topics) for member in members}
        partitions = [
            (topic, number)
            for topic in sorted(frozenset().union(*topics.values()))
            for number in sorted(cluster.partitions_for_topic(topic) or ())
        ]
        turns = cycle(sorted(members, key=_place))
        dealt: dict[str, dict[str, list[int]]] = {member: defaultdict(list) for member in topics}
        for topic, number in partitions:
            owner = next(member.member_id for member in turns if topic in topics[member.member_id])
            dealt[owner][topic].append(number)
        return {
            member: ConsumerProtocolAssignment(cls.version, sorted(some.items()), b"") for member, some in dealt.items()
        }


def _place(member: Any) -> tuple[bool, str, str]:
    return member.group_instance_id is None, member.group_instance_id or "", member.member_id
