"""What topics an app needs, against those of a cluster."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.topic_plan import CLUSTERS, Action, FoundTopic, NewTopics, WantedTopic, compare

COUNTS = st.integers(1, 5)
CONFIGS = st.dictionaries(st.sampled_from(["retention.ms", "cleanup.policy"]), st.sampled_from(["a", "b"]))
WANTED = st.lists(
    st.builds(
        WantedTopic, st.sampled_from("abcd"), st.just("why"), st.none() | COUNTS, st.none() | COUNTS, CONFIGS
    ),
    unique_by=lambda one: one.topic,
)  # fmt: skip
FOUND = st.dictionaries(st.sampled_from("abcd"), st.builds(FoundTopic, COUNTS, COUNTS, CONFIGS))
NEW = st.builds(NewTopics, st.just(CLUSTERS) | COUNTS, st.just(CLUSTERS) | COUNTS, CONFIGS)


@given(WANTED, NEW, FOUND)
def test_a_plan_makes_what_is_missing_and_takes_nothing_away(
    wanted: list[WantedTopic], new: NewTopics, found: dict[str, FoundTopic]
) -> None:
    # Given any topics that are wanted, and any that are there
    changes = compare(wanted, new, found)
    # Then exactly the missing ones are made, and no topic gets fewer partitions than it has
    made = {one.topic for one in changes if one.action is Action.CREATE}
    assert made == {one.topic for one in wanted} - set(found)
    more = [one for one in changes if one.action is Action.ADD_PARTITIONS]
    assert all(one.partitions > found[one.topic].partitions for one in more)
    # When all of it is done, and what differs is mended by hand
    there = dict(found)
    by_name = {one.topic: one for one in wanted}
    for one in changes:
        want, was = by_name[one.topic], there.get(one.topic)
        if one.action is Action.CREATE:
            there[one.topic] = FoundTopic(max(one.partitions, 1), max(one.replication, 1), one.config)
        elif one.action is Action.ADD_PARTITIONS and was:
            there[one.topic] = FoundTopic(one.partitions, was.replication, was.config)
        elif was:
            there[one.topic] = FoundTopic(was.partitions, want.replication or was.replication, want.config)
    # Then nothing is left to do
    assert compare(wanted, new, there) == ()


def test_what_the_topic_itself_says_wins_over_what_new_ones_are_made_with() -> None:
    # Given settings for new topics, and a topic that says some of them
    new = NewTopics(6, 3, {"retention.ms": "1", "cleanup.policy": "compact"})
    own = WantedTopic("a", "read by A", 12, None, {"retention.ms": "2"})
    (change,) = compare([own], new, {})
    # Then each is taken from where it is said first
    assert (change.partitions, change.replication) == (12, 3)
    assert change.config == {"retention.ms": "2", "cleanup.policy": "compact"}
    assert change.text == "12 partitions, replication 3, cleanup.policy=compact, retention.ms=2"
    # And a topic that is there is not measured by them
    assert compare([own], new, {"a": FoundTopic(12, 1, {"retention.ms": "2"})}) == ()


@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("compact, delete", "compact,delete", True),
        ("delete,compact", "compact,delete", True),
        ("compact", "compact,delete", False),
        ("1e-05", "1.0E-5", True),
        ("604800000.0", "604800000", True),
        ("9223372036854775806", "9223372036854775807", False),
        ("sNaN", "1", False),
    ],
)
def test_config_is_compared_by_what_it_means_and_not_by_how_it_is_written(wanted: str, found: str, same: bool) -> None:
    own = WantedTopic("a", "why", config={"key": wanted})
    assert (compare([own], NewTopics(), {"a": FoundTopic(1, 1, {"key": found})}) == ()) is same


def test_a_plan_says_whose_replication_a_new_topic_gets() -> None:
    # Given a topic, and settings for new ones, that leave the replication to the cluster
    (change,) = compare([WantedTopic("sources", "read by A")], NewTopics(6, CLUSTERS, {}), {})
    # Then the plan names whose default it is
    assert change.text == "6 partitions, the cluster's default replication"
