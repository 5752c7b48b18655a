"""Lag of groups, topic by topic: what `inv lag` and `fab karafka.lag` show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ops.core.cluster import Group, Progress, missing_text
from ops.core.errors import ExitCode


@dataclass(frozen=True)
class LagRow:
    """One group's lag in one topic.

    Attributes
    ----------
    topic : empty for a group that has nothing to do with any. One that is not on the cluster has 0 partitions.
    committed, end, lag : sums over the partitions where they are known; None where they are known of none.
    unknown : partitions whose lag nobody knows. Unknown is not zero.
    members : that own partitions of the topic; of a group without topics, all.
    """

    group: str
    state: str
    topic: str
    partitions: int
    committed: int | None
    end: int | None
    lag: int | None
    unknown: int
    members: int


def lag_rows(groups: Iterable[Group]) -> tuple[LagRow, ...]:
    """Give one row a group and topic, in order."""
    rows: list[LagRow] = []
    for group in groups:
        by_topic: dict[str, list[Progress]] = {}
        for one in group.progress:
            by_topic.setdefault(one.partition.topic, []).append(one)
        owners: dict[str, int] = {}
        for member in group.members:
            for topic in {partition.topic for partition in member.partitions}:
                owners[topic] = owners.get(topic, 0) + 1
        rows += [_row(group, topic, some, owners.get(topic, 0)) for topic, some in by_topic.items()]
        absent = [topic for topic in group.missing if topic not in by_topic]
        rows += [LagRow(group.name, group.state, topic, 0, None, None, None, 0, 0) for topic in absent]
        if not by_topic and not absent:
            rows.append(LagRow(group.name, group.state, "", 0, None, None, None, 0, len(group.members)))
    return tuple(rows)


def lag_data(groups: Sequence[Group]) -> dict[str, Any]:
    """Give the same as data for JSON, with the partitions."""
    rows = lag_rows(groups)
    return {
        "groups": [
            {
                "group": group.name,
                "type": group.type,
                "state": group.state,
                "members": len(group.members),
                "lag": group.lag,
                "missing_topics": list(group.missing),
                "topics": [asdict(row) for row in rows if row.group == group.name and row.topic],
                "partitions": [
                    {**asdict(one), "partition": one.partition.number, "topic": one.partition.topic, "lag": one.lag}
                    for one in group.progress
                ],
            }
            for group in groups
        ]
    }


def lag_exit_code(groups: Iterable[Group]) -> ExitCode:
    """Give 4, unknown, where the lag of any group is unknown; how large it is makes no failure."""
    return ExitCode.UNREACHABLE if any(group.lag is None for group in groups) else ExitCode.DONE


def lag_remarks(groups: Iterable[Group]) -> tuple[str, ...]:
    """Return what is to be done before a lag can be known, a line each."""
    return tuple(missing_text(group.name, topic) for group in groups for topic in group.missing)


def _row(group: Group, topic: str, some: Sequence[Progress], members: int) -> LagRow:
    return LagRow(
        group=group.name,
        state=group.state,
        topic=topic,
        partitions=len(some),
        committed=_sum(one.committed for one in some),
        end=_sum(one.end for one in some),
        lag=_sum(one.lag for one in some),
        unknown=sum(one.lag is None for one in some),
        members=members,
    )


def _sum(values: Iterable[int | None]) -> int | None:
    known = [one for one in values if one is not None]
    return sum(known) if known else None
