"""What the cluster says of topics and consumer groups; brokers' own state names are kept as they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ops.core.records import dataclass

CLASSIC = "classic"
CONSUMER = "consumer"  # KIP-848
STABLE = "Stable"
WITHOUT_MEMBERS = frozenset({"Empty", "Dead"})
_SHOWN = 8


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


def missing_text(group: str, topic: str) -> str:
    """Say that a group reads a topic that is not there, and what makes it."""
    makes = "name it in kafka.topics.named, and inv topics.apply makes it"
    return f"group {group}: topic {topic} is not on the cluster: {makes}"


def partitions_text(partitions: Iterable[Partition]) -> str:
    """Name partitions for people: `a-0, a-1`, many of them cut short."""
    names = [str(one) for one in sorted(partitions)]
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


@dataclass(frozen=True)
class Member:
    """One consumer of a group.

    Attributes
    ----------
    id : given by the coordinator, new at each join.
    instance_id : of a static member; None for a dynamic one.
    topics : what it subscribes to.
    partitions : what the coordinator has assigned to it; it may not know yet.
    """

    id: str
    instance_id: str | None
    client_id: str
    host: str
    topics: tuple[str, ...]
    partitions: tuple[Partition, ...]

    def __str__(self) -> str:
        return f"{self.instance_id or self.id} (client {self.client_id} at {self.host})"


@dataclass(frozen=True)
class Progress:
    """How far a group has come in a partition.

    Attributes
    ----------
    committed : the next offset it would read; None if it never committed one.
    end : the next offset that will be written; None if nobody leads the partition, or it is gone.
    begin : the first offset that is still there; asked for only where none was committed.
    """

    partition: Partition
    committed: int | None
    end: int | None
    begin: int | None = None

    @property
    def lag(self) -> int | None:
        """Messages still to be read; None is unknown, which is not zero."""
        if self.end is None:
            return None
        if self.committed is None:
            return 0 if self.begin == self.end else None
        return max(0, self.end - self.committed)


@dataclass(frozen=True)
class Group:
    """A consumer group as its coordinator and its offsets show it.

    Attributes
    ----------
    type : `classic`, `consumer` (KIP-848) or another of the brokers' own; empty if there is no such group.
    state : the brokers' own name: Stable, Empty, PreparingRebalance, Assigning, Dead, ...
    assignor : of the partitions.
    epoch : grows with each change of members or assignment; None for classic groups, whose generation no
        admin request tells.
    progress : of every partition that is subscribed to, assigned or has a committed offset, ordered.
    ports : that the brokers listen on, as they tell whoever asks.
    missing : topics that its members subscribe to, or that were asked about, and that are not on the cluster.
    """

    name: str
    type: str
    state: str
    assignor: str = ""
    epoch: int | None = None
    members: tuple[Member, ...] = ()
    progress: tuple[Progress, ...] = ()
    ports: tuple[int, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def lag(self) -> int | None:
        """Messages still to be read in all partitions; None if one of them, or all that there is, is unknown."""
        lags = [one.lag for one in self.progress]
        if None in lags or not lags or self.missing:
            return None
        return sum(lag for lag in lags if lag is not None)

    @property
    def owners(self) -> dict[Partition, Member]:
        """The member that each assigned partition belongs to."""
        return {partition: member for member in self.members for partition in member.partitions}

    @property
    def topics(self) -> frozenset[str]:
        """What its members subscribe to."""
        return frozenset(topic for member in self.members for topic in member.topics)
