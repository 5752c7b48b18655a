"""How a process stands in its groups by its own word: its status record, read with care."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ops.core.cluster import Partition
from ops.core.records import dataclass, field
from ops.core.states import State

# A consumer takes its status record's vocabulary from here, and starts without the protocol's classes
if TYPE_CHECKING:
    from ops.core.protocol import ProcessReport

SESSION: Final = "session_timeout_seconds"  # key of the status record


@dataclass(frozen=True)
class Standing:
    """What a consumer says of itself in one group.

    Attributes
    ----------
    stalled_seconds : how long its poll loop has made no turn, as far as it told.
    age_seconds : how long ago it told all this.
    idle_seconds : how long it has finished no message; None where it does not tell.
    working : whether messages are in work.
    overdue_seconds : how long the oldest message is in work that is over its time limit; 0 for none.
    uncommitted_seconds : how long finished messages have waited for their commit.
    """

    member_id: str
    instance_id: str | None
    generation: int
    joined: bool
    partitions: tuple[Partition, ...]
    processed: int = 0
    stalled_seconds: float = 0.0
    age_seconds: float = 0.0
    idle_seconds: float | None = None
    working: bool = False
    overdue_seconds: float = 0.0
    uncommitted_seconds: float = 0.0


@dataclass(frozen=True)
class Process:
    """One process that is to be a member of its groups.

    Attributes
    ----------
    name : for people, host and slot: `web1 karafka-0`.
    instance_id : of its static members; None for a foreign command that has none.
    groups : it is to be a member of.
    foreign : a command of which nothing is known but its memberships.
    standings : a group each, where a status record tells; empty where none was taken.
    session_timeout_seconds : how long the brokers keep its place; None where nobody knows.
    pause_seconds : how long its place is empty at a restart, at worst.
    given_up : its host has failed and the rollout goes on without it: nothing is expected of it.
    given_id : the instance id that its command was given and that a foreign one may use, or not.
    pid, uptime_seconds, frozen : as its host reports them.
    addresses : of its host; None where nobody knows.
    ports : remote ports of the connections that it and its children have; None where nobody knows.
    ended_seconds : since its last end, of one that is not there; None where nobody knows.
    replaced : it was started after the first look of a rollout: what was a member then is not this one.
    """

    name: str
    instance_id: str | None
    groups: tuple[str, ...]
    state: State = State.RUNNING
    foreign: bool = False
    standings: dict[str, Standing] = field(default_factory=dict)
    session_timeout_seconds: float | None = None
    pause_seconds: float = 0.0
    given_up: bool = False
    given_id: str = ""
    pid: int | None = None
    uptime_seconds: float | None = None
    frozen: bool = False
    addresses: tuple[str, ...] | None = None
    ports: tuple[int, ...] | None = None
    ended_seconds: float | None = None
    replaced: bool = False

    @property
    def host(self) -> str:
        """The host's key."""
        return self.name.partition(" ")[0]

    @classmethod
    def of(
        cls,
        host: str,
        report: ProcessReport,
        instance_id: str | None,
        groups: tuple[str, ...],
        *,
        given_id: str = "",
        addresses: tuple[str, ...] = (),
    ) -> Process:
        """Make it of what a host's agent reports.

        Parameters
        ----------
        groups : it is to be a member of; without any, those that its record names.
        addresses : of the host; none where nobody knows.
        """
        standings = standings_of(report.consumer, report.consumer_age_seconds or 0.0)
        return cls(
            name=f"{host} {report.name}",
            instance_id=instance_id,
            groups=groups or tuple(sorted(standings)),
            state=report.state,
            foreign=report.consumer is None,
            standings=standings,
            session_timeout_seconds=_seconds((report.consumer or {}).get(SESSION)),
            given_id=given_id,
            pid=report.pid,
            uptime_seconds=report.uptime_seconds,
            frozen=report.frozen,
            addresses=addresses or None,
            ports=report.ports,
            ended_seconds=report.ended_seconds,
        )


def _seconds(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def standings_of(record: Mapping[str, Any] | None, age_seconds: float = 0.0) -> dict[str, Standing]:
    """Read a status record; what does not fit is left out, for it was written by another release.

    Parameters
    ----------
    age_seconds : since it was written.
    """
    groups = (record or {}).get("groups")
    if not isinstance(groups, Mapping):
        return {}
    found = {}
    for name, facts in groups.items():
        try:
            found[str(name)] = _standing(facts, age_seconds)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    return found


def _standing(facts: Mapping[str, Any], age_seconds: float) -> Standing:
    idle = facts.get("idle_seconds")
    return Standing(
        member_id=str(facts["member_id"] or ""),
        instance_id=facts["instance_id"],
        generation=int(facts["generation"]),
        joined=bool(facts["joined"]),
        partitions=tuple(
            sorted(
                Partition(topic, int(number)) for topic, numbers in facts["assignment"].items() for number in numbers
            )
        ),
        processed=int(facts.get("processed", 0)),
        stalled_seconds=float(facts.get("last_progress_seconds_ago", 0.0)),
        age_seconds=age_seconds,
        idle_seconds=None if idle is None else float(idle) + age_seconds,
        working=bool(facts.get("working", False)),
        overdue_seconds=float(facts.get("overdue_seconds", 0.0)),
        uncommitted_seconds=float(facts.get("uncommitted_seconds", 0.0)),
    )
