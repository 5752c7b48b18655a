"""Committed, begin and end offsets of many groups and partitions: one request a coordinator, one a leader."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kafka.errors import NoError, UnknownTopicOrPartitionError, for_code
from kafka.protocol.consumer import ListOffsetsRequest, OffsetSpec

from ops.core.cluster import Partition
from ops.kafka.connection import Cluster

_GONE = frozenset({UnknownTopicOrPartitionError.errno})


def committed_offsets(cluster: Cluster, names: Sequence[str]) -> dict[str, dict[Partition, int]]:
    """Give every offset that each group has committed.

    Raises
    ------
    UnreachableError, ClusterError : no answer; a group that may not be looked at.
    """
    if not names:
        return {}
    found = cluster.ask(lambda admin: admin.list_group_offsets(list(names)))
    return {
        name: {Partition(*one): its.offset for one, its in offsets.items() if its.offset >= 0}
        for name, offsets in found.items()
    }


def end_offsets(cluster: Cluster, leaders: Mapping[Partition, int]) -> dict[Partition, int]:
    """Give the end offset of each partition, asked of its leader; one that has gone meanwhile is left out."""
    return _list(cluster, leaders, OffsetSpec.LATEST)


def begin_offsets(cluster: Cluster, leaders: Mapping[Partition, int]) -> dict[Partition, int]:
    """Give the first offset that is still there, of each partition."""
    return _list(cluster, leaders, OffsetSpec.EARLIEST)


def _list(cluster: Cluster, leaders: Mapping[Partition, int], spec: OffsetSpec) -> dict[Partition, int]:
    # Not by the admin client's own function, which asks for the topics once more
    by_leader: dict[int, list[Partition]] = defaultdict(list)
    for partition, leader in leaders.items():
        by_leader[leader].append(partition)
    if not by_leader:
        return {}
    return cluster.ask(lambda admin: admin._manager.run(_ask, admin, by_leader, spec))


async def _ask(admin: Any, by_leader: Mapping[int, Collection[Partition]], spec: OffsetSpec) -> dict[Partition, int]:
    found = {}
    for leader, partitions in by_leader.items():
        response = await admin._manager.send(_request(partitions, int(spec)), node_id=leader)
        for topic in response.topics:
            name = topic.name
            for one in topic.partitions:
                if one.error_code == 0:
                    found[Partition(name, one.partition_index)] = one.offset
                elif one.error_code not in _GONE:
                    raise _error(one.error_code)(f"{name}-{one.partition_index}")
    return found


def _request(partitions: Collection[Partition], timestamp: int) -> Any:
    by_topic: dict[str, list[int]] = defaultdict(list)
    for topic, number in partitions:
        by_topic[topic].append(number)
    kind = ListOffsetsRequest.ListOffsetsTopic
    return ListOffsetsRequest(
        isolation_level=0,
        topics=[
            kind(
                name=topic,
                partitions=[kind.ListOffsetsPartition(partition_index=one, timestamp=timestamp) for one in numbers],
            )
            for topic, numbers in by_topic.items()
        ],
        min_version=1,
    )


def _error(code: int) -> Any:
    error = for_code(code)
    assert error is not NoError
    return error
