"""Whether a member of a group gets on: by its own word, and by what was committed between two looks."""

from __future__ import annotations

from collections.abc import Mapping

from ops.core.cluster import Group, Member, Partition, Progress, partitions_text
from ops.core.standing import Process

STALLED_SECONDS = 15.0  # a poll loop turns at least every two seconds; a rebalance may hold it for longer
APART_SECONDS = 1.0  # two looks at a consumer that tells of itself
COMMIT_SECONDS = 6.0  # at one that does not: Kafka's clients commit every 5 s (auto.commit.interval.ms)
_IDLE_SECONDS = 3.0  # a record is up to two seconds old


def complaint(process: Process, group: str) -> str:
    """Say by its own word why it makes no progress; nothing where it does, or does not tell."""
    standing = process.standings.get(group)
    if standing is None:
        return ""
    if standing.age_seconds >= STALLED_SECONDS:
        return f"it has told nothing of itself for {standing.age_seconds:.0f} s"
    if standing.stalled_seconds >= STALLED_SECONDS:
        return f"its poll loop in group {group} has stood still for {standing.stalled_seconds:.0f} s"
    if standing.overdue_seconds > 0:
        return f"group {group}: a message is in work for {standing.overdue_seconds:.0f} s, over its time limit"
    if standing.uncommitted_seconds >= STALLED_SECONDS:
        return f"group {group}: nothing it finished could be committed for {standing.uncommitted_seconds:.0f} s"
    return ""


def seconds_apart(process: Process, group: str) -> float:
    """Say how far apart two looks at a process must be to tell that it commits nothing."""
    standing = process.standings.get(group)
    return COMMIT_SECONDS if standing is None or standing.idle_seconds is None else APART_SECONDS


def suspicious(process: Process, member: Member, group: Group, past: Mapping[Partition, Progress]) -> bool:
    """Whether messages wait for it and nothing says that it is at them: a later look would tell.

    Parameters
    ----------
    past : the same group's progress a while ago, empty for none: what has moved since is no reason.
    """
    own = set(member.partitions)
    return _idle(process, group.name) and any(
        one.lag and (one.partition not in past or _stood_still(past[one.partition], one))
        for one in group.progress
        if one.partition in own
    )


def stuck(process: Process, member: Member, group: Group, past: Mapping[Partition, Progress]) -> str:
    """Say in which partitions messages waited then and now, and nothing was committed between; nothing where none did.

    Parameters
    ----------
    past : the same group's progress, `seconds_apart` ago or more.
    """
    if not _idle(process, group.name):
        return ""
    own = set(member.partitions)
    found = [
        one.partition
        for one in group.progress
        if one.partition in own and one.partition in past and _stood_still(past[one.partition], one)
    ]
    if not found:
        return ""
    who = f" ({member})" if member.instance_id is None else ""
    return f"group {group.name}: messages wait in {partitions_text(found)}, and nothing is committed{who}"


def _idle(process: Process, group: str) -> bool:
    """Whether it has finished nothing lately and is at nothing, or does not tell."""
    standing = process.standings.get(group)
    if standing is None or standing.idle_seconds is None:
        return True
    return standing.idle_seconds >= _IDLE_SECONDS and not standing.working


def _stood_still(then: Progress, now: Progress) -> bool:
    if now.end is None or then.end is None or now.committed != then.committed:
        return False
    if now.committed is None:
        return now.end > then.end  # it may have begun at the end, behind what was there: then all is well
    return now.committed < then.end
