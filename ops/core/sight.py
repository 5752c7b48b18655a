"""What processes and groups look like side by side, as data: rows, zombies, and what one look cannot tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ops.core.cluster import Partition
from ops.core.errors import ExitCode
from ops.core.protocol import ProcessReport
from ops.core.records import asdict, dataclass, field
from ops.core.strenum import StrEnum


class Zombie(StrEnum):
    """What is there and should not be, or is not what it seems."""

    UNEXPLAINED = "member without process"
    OLD_RELEASE = "old release"
    NOT_IN_GROUP = "not in the group"
    NO_PROGRESS = "no progress"
    SUPERFLUOUS = "not in the settings"
    NO_TOPIC = "topic missing"


@dataclass(frozen=True)
class Remark:
    """One zombie.

    Attributes
    ----------
    host, process : whose; empty for a member that no process explains, and for what the group as a whole lacks.
    text : for people.
    member : the member's id where nobody can tell which process it is.
    """

    zombie: Zombie
    group: str
    text: str
    host: str = ""
    process: str = ""
    member: str = ""


@dataclass(frozen=True)
class HostReport:
    """What one host's agent said, and what the inventory says of the host.

    Attributes
    ----------
    instance_ids : of its slots, by process name, also of those that were not asked about; None for foreign commands.
    groups : of its slots, by process name; a slot that is not in it runs those that its record names.
    current_release : what `current` leads to; empty where nobody knows.
    given_ids : what the commands of its slots are given as instance ids, by process name; a foreign one may use it.
    addresses : of the host; none where nobody knows.
    superfluous : processes of it, among the reports, whose slots the settings do not have (any more).
    reachable : whether the reports are the whole truth; the members of a host that is not answer for themselves.
    """

    host: str
    reports: tuple[ProcessReport, ...]
    instance_ids: Mapping[str, str | None] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    current_release: str = ""
    reachable: bool = True
    superfluous: frozenset[str] = frozenset()
    given_ids: Mapping[str, str] = field(default_factory=dict)
    addresses: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """One process's place in one group.

    Attributes
    ----------
    member_id : None where it has no member.
    partitions : its own; None while the group divides them, when nobody can tell.
    generation : by its own word; None where it tells none.
    lag : in its partitions; None if they or the lag of one of them is unknown.
    untold : which member is its own, if any, nobody can tell.
    """

    group: str
    state: str
    member_id: str | None
    generation: int | None
    partitions: tuple[Partition, ...] | None
    lag: int | None
    untold: bool = False


@dataclass(frozen=True)
class Row:
    """One process: what its host says of it and what the cluster does.

    Attributes
    ----------
    groups : it is to be a member of.
    places : one a group that was looked at.
    zombies : what is wrong with it.
    """

    host: str
    report: ProcessReport
    instance_id: str | None
    groups: tuple[str, ...]
    places: tuple[Place, ...]
    zombies: tuple[Zombie, ...]

    @property
    def partitions(self) -> int | None:
        """How many it owns by the brokers' word; None is unknown."""
        known = [place.partitions for place in self.places if place.partitions is not None]
        return sum(map(len, known)) if len(known) == len(self.places) > 0 else None

    @property
    def lag(self) -> int | None:
        """Messages waiting in its partitions; None is unknown: one of them is, or it has no group to be seen in."""
        lags = [place.lag for place in self.places]
        return None if not lags or None in lags else sum(lag for lag in lags if lag is not None)

    def as_json(self) -> dict[str, Any]:
        """Give what the report does not say as JSON data."""
        places = [{**asdict(one), "partitions": _names(one.partitions)} for one in self.places]
        for place in places:
            if not place["untold"]:
                del place["untold"]
        return {"places": places, "zombies": [str(one) for one in self.zombies]}


@dataclass(frozen=True)
class Suspect:
    """A process or member for which messages wait; a look so many seconds later tells whether it makes progress."""

    group: str
    host: str
    process: str
    seconds: float
    member: str = ""


@dataclass(frozen=True)
class Observation:
    """All rows, everything remarkable, and what one look cannot tell."""

    rows: tuple[Row, ...]
    remarks: tuple[Remark, ...]
    suspects: tuple[Suspect, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """What the zombies alone make of a status: failed where there is one."""
        return ExitCode.FAILED if self.remarks else ExitCode.DONE


def _names(partitions: tuple[Partition, ...] | None) -> list[str] | None:
    return None if partitions is None else [str(one) for one in partitions]
