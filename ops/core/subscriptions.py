"""Releases that read other topics than the running one: which slots have to leave the group at their takeover.

Source: on Kafka 4.3.1 a static member that hands over keeps the group's old assignment. An added topic stays without
owner, a removed one keeps the first restarted process waiting; a member that is removed from the group between close
and takeover makes it divide the partitions anew, which healed both.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ops.core.cluster import CONSUMER, Group
from ops.core.membership import muster
from ops.core.standing import Process


@dataclass(frozen=True)
class SubscriptionChange:
    """What a release changes in one group.

    Attributes
    ----------
    added, removed : topics, ordered.
    remove : names of the processes whose members are removed from the group at their takeover, in order.
    instance_ids : theirs.
    """

    group: str
    added: tuple[str, ...]
    removed: tuple[str, ...]
    remove: tuple[str, ...]
    instance_ids: tuple[str, ...]

    def __str__(self) -> str:
        parts = [*(f"+{topic}" for topic in self.added), *(f"-{topic}" for topic in self.removed)]
        how = f"a planned rebalance at {', '.join(self.remove)}" if self.remove else "the group follows by itself"
        return f"group {self.group}: {', '.join(parts)}; {how}"


def subscription_changes(
    topics: Mapping[str, Collection[str]], groups: Sequence[Group], processes: Sequence[Process]
) -> tuple[SubscriptionChange, ...]:
    """Compare a release's topics with what the members subscribe to and own; groups without change are left out.

    What a rollout that was broken off has left is a change too: a topic that only some members read, one that is
    subscribed to and that nobody owns, one that is owned and that nobody is to read any more.

    Parameters
    ----------
    topics : the release's, of each group; of a group that is not in it nothing is known.
    processes : in the order in which they are taken over.

    Returns
    -------
    Removed topics: every static process leaves the group at its takeover. Only added ones: the last one does. The
    KIP-848 protocol follows subscriptions by itself, and so do dynamic members.
    """
    found = (
        _change(group, frozenset(topics[group.name]), [one for one in processes if group.name in one.groups])
        for group in groups
        if topics.get(group.name)
    )
    return tuple(one for one in found if one is not None)


def _change(group: Group, wanted: frozenset[str], processes: Sequence[Process]) -> SubscriptionChange | None:
    members = list(muster(group, processes).present.values())
    if not members:
        return None
    by_all = frozenset.intersection(*(frozenset(one.topics) for one in members))
    by_any = frozenset(topic for one in members for topic in one.topics)
    owned = frozenset(partition.topic for one in members for partition in one.partitions)
    free = {one.partition.topic for one in group.progress if one.partition not in group.owners}
    added, removed = (wanted - by_all) | (wanted & free), (by_any | owned) - wanted
    if not added and not removed:
        return None
    static = [] if group.type == CONSUMER else [one for one in processes if one.instance_id is not None]
    leaving = static if removed else static[-1:]
    return SubscriptionChange(
        group.name,
        tuple(sorted(added)),
        tuple(sorted(removed)),
        tuple(one.name for one in leaving),
        tuple(one.instance_id for one in leaving if one.instance_id is not None),
    )
