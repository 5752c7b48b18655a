"""Settings of topics: what `inv topics.plan` and `inv topics.apply` want of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

Partitions = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
Replication = Annotated[int, msgspec.Meta(ge=1, le=100)]
_NAME = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,249}")


class Topic(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is wanted of one topic, by the cluster's name of it.

    Attributes
    ----------
    partitions : at least.
    config : of the topic, by Kafka's names: cleanup.policy, retention.ms.
    """

    topic: str
    partitions: Partitions | None = None
    replication: Replication | None = None
    config: dict[str, str | int | float | bool] = {}


class Topics(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `inv topics.apply` makes topics with, where nothing else is said of one; None for the cluster's own.

    Attributes
    ----------
    named : topics of which more is wanted, and those that no app declares.
    """

    partitions: Partitions | None = None
    replication: Replication | None = None
    config: dict[str, str | int | float | bool] = {}
    named: tuple[Topic, ...] = ()


def troubles(topics: Topics) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the topics that are named, the key with each."""
    seen: set[str] = set()
    for index, one in enumerate(topics.named):
        if not _NAME.fullmatch(one.topic):
            what = f"{one.topic!r} is no name of a topic: at most 249 letters, digits, dots, underscores, hyphens"
            yield f"kafka.topics.named[{index}].topic", what
        if one.topic in seen:
            yield f"kafka.topics.named[{index}].topic", f"{one.topic!r} stands there twice"
        seen.add(one.topic)
