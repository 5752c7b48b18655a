"""Consumer groups with members, assignments, committed and end offsets: a handful of requests, however many groups."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from ops.core.cluster import CLASSIC, CONSUMER, Group, Partition, Progress
from ops.kafka.classic_groups import describe_classic_groups
from ops.kafka.connection import Cluster
from ops.kafka.consumer_groups import describe_consumer_groups
from ops.kafka.offsets import begin_offsets, committed_offsets, end_offsets
from ops.kafka.topics import leaders

DEAD = "Dead"


def group_types(cluster: Cluster) -> dict[str, str]:
    """Give the name and type of every group on the cluster; brokers before 4.0 know classic ones alone."""
    listed = cluster.ask(lambda admin: admin.list_groups())
    return {one["group_id"]: str(one.get("group_type") or CLASSIC).lower() for one in listed}


def observe(
    cluster: Cluster, names: Collection[str] = (), topics: Mapping[str, Collection[str]] | None = None
) -> tuple[Group, ...]:
    """Look at groups: state, members, what each is assigned, how far the group has come.

    Parameters
    ----------
    names : the groups, answered in this order; without any, all that there are, by name. One that does not
        exist is Dead, without type, members or progress.
    topics : of groups, whose partitions are told of in any case.

    Raises
    ------
    UnreachableError, ClusterError : no answer; a group that may not be looked at.
    """
    types = group_types(cluster)
    wanted = list(dict.fromkeys(names)) or sorted(types)
    by_type: dict[str, list[str]] = {}
    for name in wanted:
        if name in types:
            by_type.setdefault(types[name], []).append(name)
    found = {name: Group(name, types.get(name, ""), DEAD) for name in wanted}
    if classic := by_type.get(CLASSIC):
        found |= {group.name: group for group in cluster.ask(lambda admin: describe_classic_groups(admin, classic))}
    if consumer := by_type.get(CONSUMER):
        found |= {group.name: group for group in cluster.ask(lambda admin: describe_consumer_groups(admin, consumer))}
    seen = _with_progress(cluster, [found[name] for name in wanted], topics or {})
    ports = cluster.ports()
    return tuple(replace(one, ports=ports) for one in seen)


def _with_progress(
    cluster: Cluster, groups: Collection[Group], topics: Mapping[str, Collection[str]]
) -> tuple[Group, ...]:
    """Return each group with its progress in what it subscribes to, is assigned or has committed, and what is missing.

    Parameters
    ----------
    topics : of groups, that are looked at in any case.
    """
    committed = committed_offsets(cluster, [group.name for group in groups if group.type in (CLASSIC, CONSUMER)])
    own = {group.name: group.topics | set(topics.get(group.name, ())) for group in groups}
    names = {topic for some in own.values() for topic in some}
    names |= {one.topic for offsets in committed.values() for one in offsets}
    names |= {one.topic for group in groups for member in group.members for one in member.partitions}
    leading = leaders(cluster, names)
    numbers: dict[str, list[Partition]] = {}
    for partition in leading:
        numbers.setdefault(partition.topic, []).append(partition)
    mine: dict[str, set[Partition]] = {}
    for group in groups:
        partitions = set(committed.get(group.name, ()))
        partitions.update(group.owners)
        for topic in own[group.name]:
            partitions.update(numbers.get(topic, ()))
        mine[group.name] = partitions
    concerned = {one for some in mine.values() for one in some}
    led = {one: leader for one, leader in leading.items() if leader >= 0 and one in concerned}
    ends = end_offsets(cluster, led)
    begins = begin_offsets(cluster, {one: led[one] for one in _uncommitted(mine, committed) if one in led})
    return tuple(
        replace(
            group,
            progress=_rows(mine[group.name], committed.get(group.name, {}), ends, begins),
            missing=tuple(sorted(own[group.name] - numbers.keys())),
        )
        for group in groups
    )


def _uncommitted(
    mine: Mapping[str, Collection[Partition]], committed: Mapping[str, Mapping[Partition, int]]
) -> set[Partition]:
    return {one for name, some in mine.items() for one in some if one not in committed.get(name, {})}


def _rows(
    partitions: Collection[Partition],
    committed: Mapping[Partition, int],
    ends: Mapping[Partition, int],
    begins: Mapping[Partition, int],
) -> tuple[Progress, ...]:
    return tuple(
        Progress(one, offset, ends.get(one), None if offset is not None else begins.get(one))
        for one in sorted(partitions)
        for offset in (committed.get(one),)
    )
