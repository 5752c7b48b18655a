"""Which slots have to leave their group when a release reads other topics."""

from __future__ import annotations

import pytest

from ops.core.cluster import CLASSIC, CONSUMER, Group, Member, Partition, Progress
from ops.core.standing import Process
from ops.core.subscriptions import subscription_changes

PROCESSES = tuple(Process(f"h{n} karafka-0", f"id-{n}", ("g",)) for n in (1, 2, 3))


def group(*topics: str, kind: str = CLASSIC, uneven: tuple[str, ...] = (), free: tuple[str, ...] = ()) -> Group:
    members = []
    for number, process in enumerate(PROCESSES):
        own = uneven if uneven and number == 2 else topics
        partitions = tuple(Partition(topic, number) for topic in own if topic not in free)
        members.append(Member(f"m{number}", process.instance_id, "c", "h", own, partitions))
    progress = tuple(Progress(Partition(topic, n), 0, 0) for topic in topics for n in range(3))
    return Group("g", kind, "Stable", members=tuple(members), progress=progress)


@pytest.mark.parametrize(
    ("seen", "wanted", "added", "removed", "leaving"),
    [
        (group("a"), ("a", "b"), ("b",), (), ("id-3",)),
        (group("a", "b"), ("a",), (), ("b",), ("id-1", "id-2", "id-3")),
        (group("a", "b"), ("a", "c"), ("c",), ("b",), ("id-1", "id-2", "id-3")),
        (group("a", kind=CONSUMER), ("a", "b"), ("b",), (), ()),
        # What a rollout that was broken off has left
        (group("a", uneven=("a", "b")), ("a", "b"), ("b",), (), ("id-3",)),
        (group("a", uneven=("a", "b")), ("a",), (), ("b",), ("id-1", "id-2", "id-3")),
        (group("a", "b", free=("b",)), ("a", "b"), ("b",), (), ("id-3",)),
    ],
)
def test_removed_topics_need_every_slot_and_added_ones_the_last(
    seen: Group, wanted: tuple[str, ...], added: tuple[str, ...], removed: tuple[str, ...], leaving: tuple[str, ...]
) -> None:
    # Given members, and a release that reads other topics
    (change,) = subscription_changes({"g": wanted}, [seen], PROCESSES)
    # Then the plan names topics and slots
    assert (change.added, change.removed, change.instance_ids) == (added, removed, leaving)
    assert all(topic in str(change) for topic in (*added, *removed))
    assert all(name in str(change) for name in change.remove)


def test_nothing_is_planned_where_nothing_changes_or_nothing_is_known() -> None:
    # Given a release with the same topics, one of which nothing is known, and a group without members
    # Then no slot has to leave
    assert subscription_changes({"g": ("b", "a")}, [group("a", "b")], PROCESSES) == ()
    assert subscription_changes({}, [group("a")], PROCESSES) == ()
    assert subscription_changes({"g": ("a",)}, [Group("g", CLASSIC, "Empty")], PROCESSES) == ()


def test_the_topics_of_another_app_in_the_group_are_not_ours_to_remove() -> None:
    # Given a group with another app's member
    seen = group("a")
    other = Member("x", "billing.h1.karafka.0", "c", "h", ("bills",), (Partition("bills", 0),))
    shared = Group("g", CLASSIC, "Stable", members=(*seen.members, other), progress=seen.progress)
    # Then its topic is none that the release removes
    assert subscription_changes({"g": ("a",)}, [shared], PROCESSES) == ()
