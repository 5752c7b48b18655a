"""The gate between two batches of a rollout: whether the group works with the new processes, and if not, why.

Source of the rules: "process alive" and "group Stable" alone prove nothing; after a handover a group was seen Stable
with every partition assigned while its clients had none.
"""

from __future__ import annotations

from collections.abc import Sequence

from ops.core.amounts import counted
from ops.core.cluster import STABLE, WITHOUT_MEMBERS, Group, Member, Partition, Progress, partitions_text
from ops.core.membership import Muster, absent, duplicates, muster, own_topics, strangers, unowned
from ops.core.records import dataclass, field, replace
from ops.core.standing import Process
from ops.core.states import ALIVE, State
from ops.core.verdict import AFTER_A_RESTART, FINAL, Cause, Judgement, Reason, Verdict, judged

_RATE_SECONDS = 0.2  # a shorter look tells no rate
_LOOK_SECONDS = 0.5  # one look at idle partitions proves nothing: who gets messages has to commit between two
# A topic that brokers or clients make by themselves is there within moments of the first subscription; any other stays
# away until somebody makes it, however long the gate waits
_TOPIC_SECONDS = 5.0
_JOINS = 3  # members that one instance id may have had while the gate looked


@dataclass(frozen=True)
class Terms:
    """What is expected of the groups.

    Attributes
    ----------
    processes : all of the stage that are to be running, not those of the batch alone.
    topics : of each group's routes; of a group that is not in it, what its members subscribe to.
    max_lag : messages of one group that may be waiting; None for as many as before.
    before : the groups as the preflight saw them.
    accepted : causes that stop nothing (`--force`).
    changing : of each group, topics that the rollout adds or removes and that not all its members have come to yet.
        Nobody has to own them, or to come forward in them.
    absent : instance ids of the application's processes that do not run, or of which nobody knows. The brokers keep
        their places until their sessions end, so their members are no strangers, and nothing moves in their partitions.
    ended : foreign processes that do not run: they, too, may have left members for a while.
    unseen : how many foreign processes are on hosts that do not answer. As many members may be theirs.
    """

    processes: tuple[Process, ...]
    topics: dict[str, tuple[str, ...]] = field(default_factory=dict)
    max_lag: int | None = None
    before: tuple[Group, ...] = ()
    accepted: tuple[Cause, ...] = ()
    changing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    absent: tuple[str, ...] = ()
    ended: tuple[Process, ...] = ()
    unseen: int = 0

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups that the processes are to be members of."""
        return tuple(sorted({group for process in self.processes for group in process.groups}))

    def of(self, group: str) -> tuple[Process, ...]:
        """Give the processes that are to be members of a group."""
        return tuple(one for one in self.processes if group in one.groups)

    def left(self, group: str, processes: Sequence[Process]) -> tuple[Process, ...]:
        """Give the processes that may have left members of a group, and are not among those that run by now."""
        names = {one.name for one in processes}
        return tuple(one for one in self.ended if group in one.groups and one.name not in names)

    def settled(self, group: str, topics: frozenset[str]) -> frozenset[str]:
        """Give those of a group's topics that the rollout leaves alone just now."""
        return topics - frozenset(self.changing.get(group, ()))


def generations(processes: Sequence[Process]) -> dict[str, int]:
    """Give the newest generation of each group that a process tells of."""
    found: dict[str, int] = {}
    for process in processes:
        for group, standing in process.standings.items():
            if standing.joined:
                found[group] = max(found.get(group, standing.generation), standing.generation)
    return found


class Gate:
    """Judges what is seen of the groups, look after look."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._before = {group.name: _by_partition(group) for group in terms.before}
        self._old = {group.name: frozenset(one.id for one in group.members) for group in terms.before}
        self._first: dict[str, dict[Partition, Progress]] = {}
        self._began: float | None = None
        self._ids: dict[tuple[str, str], list[str]] = {}
        self._lacking: dict[tuple[str, str], float] = {}

    def see(self, groups: Sequence[Group], at_seconds: float, processes: Sequence[Process] = ()) -> Judgement:
        """Judge one look at the groups.

        Parameters
        ----------
        at_seconds : of any clock that only goes forward.
        processes : as they are now; without any, as the terms have them.
        """
        self._began = at_seconds if self._began is None else self._began
        elapsed = at_seconds - self._began
        everybody = tuple(processes) or self._terms.processes
        reasons = down(everybody)
        for group in groups:
            mine = [one for one in everybody if group.name in one.groups]
            reasons += self._group(group, mine, elapsed)
        accepted = frozenset(self._terms.accepted)
        final = FINAL | ({Cause.NO_TOPIC} if self._lacks(reasons, at_seconds) else frozenset())
        if any(one.cause in final - accepted for one in reasons):
            reasons = [one for one in reasons if one.cause not in AFTER_A_RESTART]  # nobody waits for it any more
        found = judged(reasons, accepted, elapsed, waiting=True, final=final)
        early = found.verdict is Verdict.PASSED and elapsed < _LOOK_SECONDS
        return replace(found, verdict=Verdict.WAITING) if early else found

    def _lacks(self, reasons: Sequence[Reason], at_seconds: float) -> bool:
        """Whether a topic has been missing for so long that nobody makes it."""
        now = {(one.group, one.subject) for one in reasons if one.cause is Cause.NO_TOPIC}
        self._lacking = {one: self._lacking.get(one, at_seconds) for one in now}
        return any(at_seconds - since >= _TOPIC_SECONDS for since in self._lacking.values())

    def _group(self, group: Group, processes: Sequence[Process], elapsed: float) -> list[Reason]:
        topics = own_topics(group, processes, self._terms.topics.get(group.name, ()))
        everybody = (*processes, *self._terms.left(group.name, processes))
        found = muster(group, everybody, topics, self._old.get(group.name, frozenset()))
        reasons = _state(group) + absent(group, found)
        reasons += (
            duplicates(group, processes, found)
            + self._fights(group, found)
            + strangers(group, found, self._terms.absent, self._terms.unseen)
        )
        if group.state != STABLE:
            return reasons
        settled = self._terms.settled(group.name, topics)
        reasons += unowned(group, settled)
        reasons += _own_words(group, processes, found)
        return reasons + self._progress(group, processes, found, settled, elapsed)

    def _fights(self, group: Group, found: Muster) -> list[Reason]:
        """Say whose member is a new one at each look: it crashes again and again, or two fight for one id."""
        reasons = []
        for process, member in found.present.items():
            if member.instance_id is None:
                continue
            ids = self._ids.setdefault((group.name, member.instance_id), [])
            if member.id not in ids:
                ids.append(member.id)
            if len(ids) >= _JOINS:
                text = f"group {group.name}: {process} has joined {len(ids)} times while the gate looked"
                hint = "it ends again and again, or another process has its instance id"
                reasons.append(Reason(Cause.DUPLICATE, group.name, f"{text}: {hint}", process))
        return reasons

    def _progress(
        self, group: Group, processes: Sequence[Process], found: Muster, topics: frozenset[str], elapsed: float
    ) -> list[Reason]:
        left = set(self._terms.absent) - {one.instance_id for one in processes}
        idle = {partition for partition, member in group.owners.items() if member.instance_id in left}
        own = [one for one in group.progress if one.partition.topic in topics]
        now = {one.partition: one for one in own if one.partition not in idle}
        first = self._first.setdefault(group.name, dict(now))
        before = self._before.get(group.name)
        foreign = {found.present[one.name].id for one in processes if one.foreign and one.name in found.present}
        foreign |= {member.id for crowd in found.crowds for member in crowd.members}
        names = {member.id: name for name, member in found.present.items()}
        stuck: dict[tuple[Cause, str], list[Progress]] = {}
        for partition, member in group.owners.items():
            if partition in now:
                start = first.setdefault(partition, now[partition])
                earlier = (before or {}).get(partition) if member.id in foreign else None
                cause = _stuck(now[partition], start, earlier)
                if cause is not None:
                    stuck.setdefault((cause, names.get(member.id, str(member))), []).append(now[partition])
        return [_stuck_reason(group, cause, who, some) for (cause, who), some in stuck.items()] + self._lag(
            group, now, before, elapsed
        )

    def _lag(
        self, group: Group, now: dict[Partition, Progress], before: dict[Partition, Progress] | None, elapsed: float
    ) -> list[Reason]:
        """Compare lag with its limit; partitions whose lag nobody knows are the others' matter."""
        if before is None and self._terms.max_lag is None:
            return []
        known = {one: progress.lag for one, progress in now.items() if progress.lag is not None}
        limits: list[tuple[int, str]] = []
        if before is not None:
            known = {one: lag for one, lag in known.items() if one not in before or before[one].lag is not None}
            was = sum(before[one].lag or 0 for one in known if one in before)
            second = self._second(group, now, elapsed)
            limits.append((was + second, f"{was} waited before, {second} come in a second"))
        if self._terms.max_lag is not None:
            limits.append((self._terms.max_lag, "rollout.max_lag"))
        lag, (limit, why) = sum(known.values()), max(limits)
        if lag <= limit:
            return []
        most = sorted(known, key=lambda one: -known[one])[:3]
        text = f"group {group.name}: lag {lag}, at most {limit} may be ({why}); most of it in {partitions_text(most)}"
        return [Reason(Cause.LAG, group.name, text, partitions=tuple(most))]

    def _second(self, group: Group, now: dict[Partition, Progress], elapsed: float) -> int:
        """Give how many messages come in a second: as many may be under way at any time."""
        if elapsed < _RATE_SECONDS:
            return 0
        first = self._first[group.name]
        pairs = [(first[one].end, progress.end) for one, progress in now.items() if one in first]
        return round(sum(max(0, b - a) for a, b in pairs if a is not None and b is not None) / elapsed)


def _by_partition(group: Group) -> dict[Partition, Progress]:
    return {one.partition: one for one in group.progress}


def down(processes: Sequence[Process]) -> list[Reason]:
    """Say which processes are not there; how one is of which nobody knows is the group's to tell."""
    return [
        Reason(Cause.DOWN, "", f"{one.name} is {one.state}", one.name)
        for one in processes
        if one.state not in ALIVE and one.state is not State.UNKNOWN and not one.given_up
    ]


def _state(group: Group) -> list[Reason]:
    if group.state == STABLE:
        return []
    if group.state in WITHOUT_MEMBERS:
        return [Reason(Cause.NO_MEMBERS, group.name, f"group {group.name} has no members: {group.state}")]
    return [Reason(Cause.REBALANCING, group.name, f"group {group.name} is rebalancing: {group.state}")]


def _own_words(group: Group, processes: Sequence[Process], found: Muster) -> list[Reason]:
    """Compare what the brokers say with what each process says of itself, and that with what the others say.

    A generation only grows, so all have to come to the newest one; that it is not the one of before is a rebalance,
    which the evidence tells.
    """
    reasons = []
    newest = generations(processes).get(group.name)
    for process in processes:
        standing, member = process.standings.get(group.name), found.present.get(process.name)
        if standing is None or member is None:
            continue
        if set(standing.partitions) != set(member.partitions):
            reasons.append(_differs(group, process, member, standing.partitions))
        if newest is not None and standing.joined and standing.generation < newest:
            text = f"group {group.name}: {process.name} is in generation {standing.generation}, the newest is {newest}"
            reasons.append(Reason(Cause.GENERATION, group.name, text, process.name))
    return reasons


def _differs(group: Group, process: Process, member: Member, own: Sequence[Partition]) -> Reason:
    differing = tuple(sorted(set(own) ^ set(member.partitions)))
    theirs, its = partitions_text(member.partitions) or "nothing", partitions_text(own) or "nothing"
    text = f"group {group.name}: {process.name} has {its}; by the brokers' word it has {theirs}"
    return Reason(Cause.ASSIGNMENT, group.name, text, process.name, differing)


def _stuck(now: Progress, first: Progress, earlier: Progress | None) -> Cause | None:
    """Say why a partition does not prove that it is worked on; an idle one need not.

    Parameters
    ----------
    earlier : before the rollout, for a foreign command: one that reads from the end commits nothing until it has to.
    """
    if now.end is None:
        return Cause.NO_LEADER
    if now.lag == 0:
        return None
    if now.committed is None:
        return (
            None if earlier is not None and (earlier.committed, earlier.end) == (None, now.end) else Cause.UNCOMMITTED
        )
    return None if first.committed is None or now.committed > first.committed else Cause.WEDGED


def _stuck_reason(group: Group, cause: Cause, who: str, some: Sequence[Progress]) -> Reason:
    partitions = tuple(sorted(one.partition for one in some))
    names = partitions_text(partitions)
    pending = ""
    if cause is Cause.NO_LEADER:
        text = f"no broker leads {names}"
    elif cause is Cause.UNCOMMITTED:
        text = f"{who} has committed nothing of {names}, which holds messages"
        pending = f"{who}: no commit seen yet in {names}, which holds messages"
    else:
        behind = sum(one.lag or 0 for one in some)
        waiting = f"{counted(behind, 'message')} {'waits' if behind == 1 else 'wait'}"
        text = f"{who} does not advance in {names}, where {waiting}"
        pending = f"{who}: no commit seen yet in {names}, where {waiting}"
    prefix = f"group {group.name}: "
    return Reason(cause, group.name, prefix + text, who, partitions, prefix + pending if pending else "")
