"""What topics an app needs, held against those of a cluster: what would have to be made, and what is left alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

from ops.core.amounts import counted
from ops.core.strenum import StrEnum

CLUSTERS = -1  # partitions or replication as the cluster gives them to a topic (num.partitions, ...)


class Action(StrEnum):
    """What a topic is in want of."""

    CREATE = "create"
    ADD_PARTITIONS = "add partitions"
    DIFFERS = "differs"  # nothing here changes that


@dataclass(frozen=True)
class WantedTopic:
    """A topic that is needed, by the cluster's name.

    Attributes
    ----------
    why : who needs it, in words.
    partitions : at least; None for no matter.
    replication : None for no matter.
    config : of the topic, as Kafka names it; what is not in it does not matter.
    """

    topic: str
    why: str
    partitions: int | None = None
    replication: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class NewTopics:
    """What topics are made with, where nothing else is wanted of them."""

    partitions: int = CLUSTERS
    replication: int = CLUSTERS
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundTopic:
    """A topic of the cluster; of its config what was asked for."""

    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TopicChange:
    """One difference.

    Attributes
    ----------
    partitions, replication, config : to be made with; `CLUSTERS` for the cluster's own.
    text : the difference in words.
    """

    topic: str
    action: Action
    why: str
    partitions: int = CLUSTERS
    replication: int = CLUSTERS
    config: Mapping[str, str] = field(default_factory=dict)
    text: str = ""


def compare(wanted: Iterable[WantedTopic], new: NewTopics, found: Mapping[str, FoundTopic]) -> tuple[TopicChange, ...]:
    """Return what is different, ordered by topic. More partitions than wanted are no difference: none is ever removed.

    Parameters
    ----------
    found : by name; one that is not in it does not exist.
    """
    changes: list[TopicChange] = []
    for one in sorted(wanted, key=lambda each: each.topic):
        there = found.get(one.topic)
        changes += [_creation(one, new)] if there is None else _differences(one, there)
    return tuple(changes)


def _creation(one: WantedTopic, new: NewTopics) -> TopicChange:
    partitions = one.partitions or new.partitions
    replication = one.replication or new.replication
    config = {**new.config, **one.config}
    parts = [
        "as many partitions as the cluster gives" if partitions == CLUSTERS else counted(partitions, "partition"),
        "the cluster's default replication" if replication == CLUSTERS else f"replication {replication}",
        *(f"{name}={value}" for name, value in sorted(config.items())),
    ]
    return TopicChange(one.topic, Action.CREATE, one.why, partitions, replication, config, text=", ".join(parts))


def _differences(one: WantedTopic, there: FoundTopic) -> list[TopicChange]:
    changes = []
    if one.partitions is not None and there.partitions < one.partitions:
        text = f"{there.partitions} to {one.partitions}; from then on most keys go to other partitions than before"
        changes.append(TopicChange(one.topic, Action.ADD_PARTITIONS, one.why, one.partitions, text=text))
    different = []
    if one.replication is not None and there.replication != one.replication:
        different.append(f"replication is {there.replication}, not {one.replication}")
    for name, value in sorted(one.config.items()):
        if not _same(there.config.get(name), value):
            different.append(f"{name} is {there.config.get(name, 'unknown there')}, not {value}")
    if different:
        changes.append(TopicChange(one.topic, Action.DIFFERS, one.why, text="; ".join(different)))
    return changes


def _same(found: str | None, wanted: str) -> bool:
    """Whether two values of config are one: brokers write numbers (`1.0E-5`) and lists (`compact,delete`) anew."""
    if found is None or found == wanted:
        return found == wanted
    try:
        return Decimal(found) == Decimal(wanted)
    except InvalidOperation:
        return _items(found) == _items(wanted)


def _items(value: str) -> list[str]:
    return sorted(item.strip() for item in value.split(","))  # of no list of a topic's does the order matter
