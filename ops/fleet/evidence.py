"""Gathers the evidence of a rollout while it runs: what happened when, what gates saw, what consumers wrote down."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ops.core.cluster import Group, Partition
from ops.core.evidence import Evidence, Outcome, Phase, PhaseKind, SlotEvidence, VerdictEvidence
from ops.core.offsets import Offsets
from ops.core.progress import Gap, GroupPartition, Segment, gaps, segments
from ops.core.protocol import Event, ProcessReport
from ops.core.stalls import Generation, GroupEvidence, PartitionEvidence, Span, Stall
from ops.core.verdict import Judgement

BEFORE_SECONDS = 300.0
"""How far back the undisturbed time reaches that a rollout's stalls are held against."""
_STALLS_KEPT = 8
# (step of an event, the phase that begins with it)
_BEGINS = {
    "spawned": PhaseKind.STARTING,
    "asked to stop": PhaseKind.STOPPING,
    "standby": PhaseKind.DRAINING,
    "handing over": PhaseKind.TAKING_OVER,
}
_ENDS = frozenset({"ready", "stopped", "failed"})
_TIMED = {
    "standby": PhaseKind.PREPARING,
    "drain": PhaseKind.DRAINING,
    "takeover": PhaseKind.TAKING_OVER,
    "stop": PhaseKind.STOPPING,
    "start": PhaseKind.STARTING,
}


@dataclass
class _Slot:
    """What is known of one slot so far."""

    evidence: SlotEvidence
    steps: list[tuple[float, str, str]] = field(default_factory=list)


class Chronicle:
    """One rollout's evidence in the making; used from one thread.

    Parameters
    ----------
    head : who does what where; its outcome, times and details are filled in at the end.
    clock : seconds that only go forward.
    """

    def __init__(self, head: Evidence, clock: Callable[[], float] = time.monotonic) -> None:
        self._head = head
        self._clock = clock
        self._began = clock()
        self._slots: dict[tuple[str, str], _Slot] = {}
        self._offsets = Offsets()
        self._generations: dict[str, list[Generation]] = {}
        self._planned: dict[str, int] = {}
        self._verdicts: list[VerdictEvidence] = []
        self._segments: list[Segment] = []
        self._notes: list[str] = []

    @property
    def now(self) -> float:
        """Seconds since the rollout began."""
        return self._clock() - self._began

    def expect(self, host: str, processes: Sequence[ProcessReport], *, superfluous: bool = False) -> None:
        """Note how a host's processes are before they are touched; those whose turn never comes are told by it.

        Parameters
        ----------
        superfluous : they are stopped, as the settings have no such slots.
        """
        for one in processes:
            slot = SlotEvidence(
                host, one.name, old_pid=one.pid, release=one.release, superfluous=superfluous,
                message=one.message if one.kept else "", outdated=str(one.outdated), kept=one.kept,
            )  # fmt: skip
            self._slots[host, one.name] = _Slot(slot)

    def event(self, host: str, event: Event) -> None:
        """Note what an agent says while it works."""
        self._slot(host, event.process).steps.append((self.now, event.step, event.detail))

    def finished(self, host: str, batch: int, processes: Sequence[ProcessReport]) -> None:
        """Note what came of a host's processes."""
        for one in processes:
            slot = self._slot(host, one.name)
            attempted = not one.message.startswith("not attempted") and not one.kept
            slot.evidence = replace(
                slot.evidence,
                batch=batch if attempted else 0,
                ok=one.ok,
                kept=one.kept,
                warm="takeover" in one.timings,
                killed=any(step == "killed" for _, step, _ in slot.steps),
                new_pid=one.pid if one.pid != slot.evidence.old_pid else None,
                release=one.release or slot.evidence.release,
                message=one.message,
                phases=_phases(slot.steps, one.timings, self.now),
            )

    def look(self, groups: Sequence[Group]) -> None:
        """Note the groups as a preflight or gate sees them."""
        self._offsets.see(groups, self.now)

    def generations(self, found: dict[str, int]) -> None:
        """Note the groups' generations as their members say them; call it before anything is touched and later on."""
        for group, number in found.items():
            known = self._generations.setdefault(group, [])
            if not known or known[-1].number != number:
                known.append(Generation(self.now, number))

    def plan_rebalance(self, group: str, note: str, count: int = 1) -> None:
        """Note rebalances that the rollout asks for, with why."""
        self._planned[group] = self._planned.get(group, 0) + count
        self.note(note)

    def verdict(self, name: str, judgement: Judgement) -> None:
        """Note what a preflight or gate said."""
        one = VerdictEvidence(
            name,
            str(judgement.verdict),
            self.now - judgement.elapsed_seconds,
            judgement.elapsed_seconds,
            tuple(map(str, judgement.reasons)),
            tuple(map(str, judgement.overruled)),
        )
        self._verdicts.append(one)

    def progress(self, host: str, answer: dict[str, Any]) -> None:
        """Note what a host's consumers wrote down: once, at the end, as soon as the host answers."""
        self._segments += segments(host, answer, self.now)

    def note(self, text: str) -> None:
        """Note a sentence for people."""
        self._notes.append(text)

    def evidence(self, outcome: Outcome, exit_code: int) -> Evidence:
        """Put all of it together."""
        end = self.now
        counting = [slot.evidence for slot in self._slots.values() if slot.evidence.counts]
        brought = [one for one in counting if one.batch or one.kept] or counting
        releases = sorted({one.release for one in brought} - {""})
        return replace(
            self._head,
            seconds=end,
            outcome=outcome,
            exit_code=int(exit_code),
            release=self._head.release or (releases[-1] if releases else ""),
            slots=tuple(slot.evidence for slot in self._slots.values()),
            groups=tuple(self._group(name) for name in self._names()),
            partitions=tuple(self._partitions(end)),
            verdicts=tuple(self._verdicts),
            looks_seconds=self._offsets.longest_pause_seconds,
            notes=tuple(self._notes),
        )

    def _slot(self, host: str, process: str) -> _Slot:
        return self._slots.setdefault((host, process), _Slot(SlotEvidence(host, process)))

    def _names(self) -> list[str]:
        seen = {group for group, _ in self._offsets.partitions}
        return sorted(seen | set(self._generations) | {one.partition.group for one in self._segments})

    def _group(self, name: str) -> GroupEvidence:
        lag = self._offsets.group_lag(name)
        generations = tuple(self._generations.get(name, ()))
        return GroupEvidence(name, generations, self._planned.get(name, 0), lag.before, lag.peak, lag.after)

    def _partitions(self, end: float) -> list[PartitionEvidence]:
        joined = gaps(self._segments)
        own: dict[GroupPartition, list[Segment]] = {}
        for segment in sorted(self._segments, key=lambda one: one.last):
            own.setdefault(segment.partition, []).append(segment)
        seen = {GroupPartition(group, *partition) for group, partition in self._offsets.partitions}
        return [self._partition(one, own.get(one, ()), joined.get(one, ()), end) for one in sorted(seen | set(own))]

    def _partition(
        self, key: GroupPartition, own: Sequence[Segment], found: Sequence[Gap], end: float
    ) -> PartitionEvidence:
        partition = Partition(key.topic, key.number)
        during = [_stall(gap) for gap in found if gap.end > 0 and gap.start < end]
        before = [gap.waited_seconds for gap in found if -BEFORE_SECONDS < gap.end <= 0]
        lag = self._offsets.lag(key.group, partition)
        longest = sorted(during, key=lambda stall: stall.seconds, reverse=True)[:_STALLS_KEPT]
        return PartitionEvidence(
            group=key.group,
            topic=key.topic,
            number=key.number,
            slot=f"{own[-1].host} {own[-1].process}" if own else "",
            stalls=tuple(sorted(longest, key=lambda stall: stall.start)),
            spans=tuple(
                Span(f"{one.host} {one.process}", one.pid, one.first, one.last)
                for one in own
                if one.last > -BEFORE_SECONDS
            ),
            undisturbed_seconds=max(before, default=None),
            committed=self._offsets.standstill(key.group, partition),
            lag_before=lag.before,
            lag_peak=lag.peak,
            lag_after=lag.after,
        )


def _stall(gap: Gap) -> Stall:
    return Stall(gap.end - gap.waited_seconds, gap.waited_seconds, gap.seconds)


def _phases(steps: Sequence[tuple[float, str, str]], timings: dict[str, float], now: float) -> tuple[Phase, ...]:
    """Give a slot's phases: by the agent's own timings, set back from its last step, else by when its steps came."""
    if timings and steps:
        at = steps[-1][0]
        found = []
        for name, seconds in reversed(timings.items()):
            if name in _TIMED:
                found.append(Phase(_TIMED[name], at - seconds, seconds))
                at -= seconds
        return tuple(reversed(found))
    phases: list[Phase] = []
    begun: tuple[PhaseKind, float] | None = None
    for at, step, detail in steps:
        if begun is not None and (step in _BEGINS or step in _ENDS):
            phases.append(Phase(begun[0], begun[1], at - begun[1]))
            begun = None
        if step in _BEGINS:
            kind = PhaseKind.PREPARING if step == "spawned" and "to replace" in detail else _BEGINS[step]
            begun = (kind, at)
    if begun is not None:
        phases.append(Phase(begun[0], begun[1], now - begun[1]))
    return tuple(phases)
