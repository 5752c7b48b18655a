"""Who belongs into a group, and who is there: what gates, preflight and status all ask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from ops.core.attribution import attribute
from ops.core.cluster import Group, Member, missing_text, partitions_text
from ops.core.crowd import Crowd
from ops.core.records import dataclass
from ops.core.standing import Process
from ops.core.verdict import Cause, Reason


@dataclass(frozen=True)
class Muster:
    """A group's members told apart.

    Attributes
    ----------
    present : the member of each process, by the process's name, where it is certain.
    missing : processes that certainly have no member.
    strangers : members of nobody that read the group's own topics.
    others : members of nobody that read other topics: those of another app that shares the group.
    crowds : members and processes of foreign commands that nobody can tell apart.
    """

    present: dict[str, Member]
    missing: tuple[Process, ...]
    strangers: tuple[Member, ...]
    others: tuple[Member, ...]
    crowds: tuple[Crowd, ...] = ()

    @property
    def own(self) -> tuple[Member, ...]:
        """The members that are processes of this application, whichever."""
        return (*self.present.values(), *(member for crowd in self.crowds for member in crowd.members))

    def crowd_of(self, process: str) -> Crowd | None:
        """Give the crowd that a process is part of."""
        return next((one for one in self.crowds if any(some.name == process for some in one.processes)), None)


def muster(
    group: Group, processes: Sequence[Process], topics: Collection[str] = (), old: Collection[str] = ()
) -> Muster:
    """Find the member of each process: by instance id, else by the member id of its record, else see `attribution`.

    Parameters
    ----------
    processes : all that are to be members of the group, wherever they run.
    topics : the group's own; without any, what the processes' members subscribe to.
    old : ids of members that were there before the processes that are `replaced` began.
    """
    left = list(group.members)
    present: dict[str, Member] = {}
    missing: list[Process] = []
    nameless: list[Process] = []
    for process in processes:
        standing = process.standings.get(group.name)
        if process.instance_id is not None:
            found = [one for one in left if one.instance_id == process.instance_id]
        elif standing is not None:
            found = [one for one in left if one.id == standing.member_id]
        else:
            nameless.append(process)
            continue
        if found:
            present[process.name] = found[0]
            left.remove(found[0])
        else:
            missing.append(process)
    own = frozenset(topics) or frozenset(topic for member in present.values() for topic in member.topics)
    crowds: tuple[Crowd, ...] = ()
    if nameless:
        candidates = [one for one in left if not one.topics or not own or own & set(one.topics)]
        known = attribute(candidates, nameless, group.ports, old, [one.host for one in group.members], group.name)
        present |= known.present
        crowds = known.crowds
        missing += known.missing
        taken = {one.id for one in candidates} - {one.id for one in known.left}
        left = [one for one in left if one.id not in taken]
    # While a group divides its partitions nothing is told of topics: who is there unasked is a stranger then
    strange = [one for one in left if not one.topics or not own or own & set(one.topics)]
    return Muster(present, tuple(missing), tuple(strange), tuple(one for one in left if one not in strange), crowds)


def own_topics(group: Group, processes: Sequence[Process], topics: Collection[str] = ()) -> frozenset[str]:
    """Give the topics of a group that are this application's: those given, else what its members subscribe to."""
    if topics:
        return frozenset(topics)
    return frozenset(topic for member in muster(group, processes).own for topic in member.topics)


def absent(group: Group, found: Muster) -> list[Reason]:
    """Say which processes are no members: by name where that is certain, else how many of which."""
    reasons = [
        Reason(Cause.MISSING, group.name, f"group {group.name}: {one.name} is not a member{_why(one)}", one.name)
        for one in found.missing
        if not one.given_up
    ]
    for crowd in found.crowds:
        count = crowd.absent - sum(one.given_up for one in crowd.processes)
        if count > 0:
            reasons.append(Reason(Cause.MISSING, group.name, f"group {group.name}: {crowd.absent_text(count)}"))
    return reasons


def _why(process: Process) -> str:
    return ", it is frozen by a signal: kill -CONT it, or stop it" if process.frozen else ""


def strangers(group: Group, found: Muster, left: Collection[str] = (), unseen: int = 0) -> list[Reason]:
    """Say which members nobody answers for.

    Parameters
    ----------
    left : instance ids of the application's processes that do not run: their places are left over, not taken.
    unseen : how many of its foreign processes nobody knows anything of: as many members may be they.
    """
    named = [member for member in found.strangers if member.instance_id not in left]
    crowds = [crowd for crowd in found.crowds if crowd.surplus > len(crowd.ended)]
    if len(named) + sum(crowd.surplus - len(crowd.ended) for crowd in crowds) <= unseen:
        return []
    return [
        Reason(
            Cause.STRANGER,
            group.name,
            f"group {group.name}: {member} is no process of this application and reads its topics",
            member.instance_id or member.id,
            member.partitions,
        )
        for member in named
    ] + [Reason(Cause.STRANGER, group.name, f"group {group.name}: {crowd.surplus_text()}") for crowd in crowds]


def duplicates(group: Group, processes: Sequence[Process], found: Muster) -> list[Reason]:
    """Say which instance ids several have: in the inventory, in the group, or one fenced by another."""
    name = group.name
    reasons = []
    wanted = Counter(one.instance_id for one in processes if one.instance_id is not None)
    there = Counter(one.instance_id for one in group.members if one.instance_id is not None)
    for instance, count in wanted.items():
        if count > 1:
            who = " and ".join(one.name for one in processes if one.instance_id == instance)
            reasons.append(
                Reason(Cause.DUPLICATE, name, f"group {name}: {who} have one instance id: {instance}", instance)
            )
    for instance, count in there.items():
        if count > 1 and instance in wanted:
            reasons.append(Reason(Cause.DUPLICATE, name, f"group {name}: {count} members are {instance}", instance))
    for process in processes:
        standing, member = process.standings.get(name), found.present.get(process.name)
        if standing is None or member is None or not standing.joined or standing.member_id == member.id:
            continue
        reasons.append(
            Reason(
                Cause.DUPLICATE,
                name,
                f"group {name}: {member} is not {process.name}, which says it is the member {standing.member_id}",
                process.instance_id or member.id,
            )
        )
    return reasons


def unowned(group: Group, topics: frozenset[str]) -> list[Reason]:
    """Say which partitions of topics nobody owns, and which topics are missing."""
    there = {one.partition for one in group.progress if one.end is not None or one.partition in group.owners}
    reasons = [
        Reason(Cause.NO_TOPIC, group.name, missing_text(group.name, topic), topic)
        for topic in sorted(topics - {one.partition.topic for one in group.progress})
    ]
    free = tuple(sorted(one for one in there - set(group.owners) if one.topic in topics))
    if free:
        text = f"group {group.name}: nobody owns {partitions_text(free)}"
        reasons.append(Reason(Cause.UNOWNED, group.name, text, partitions=free))
    return reasons
