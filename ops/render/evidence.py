"""The summary of a rollout's evidence: totals, slots and the partitions that stood still, as a table or plain lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from ops.core.amounts import counted
from ops.core.evidence import Evidence, Outcome, PhaseKind, SlotEvidence
from ops.core.plain import cell, lines_of
from ops.core.records import dataclass
from ops.core.stalls import GroupEvidence, PartitionEvidence
from ops.render.columns import ALIKE, Columns
from ops.render.console import console_of, text_of
from ops.render.cuts import hanging, wrapped
from ops.render.streams import is_terminal

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

PARTITIONS = 8
"""How many partitions are shown; the picture has all of them."""
KILLED = "KILLED"
"""In a slot's row: its old process did not end as it was asked to."""
_GAP = "  "
_SLOTS = Columns(
    ("SLOT", "BATCH", "HOW", "STANDBY", "STOP", "TAKEOVER", "PID", "RESULT"),
    right=frozenset({"BATCH", "STANDBY", "STOP", "TAKEOVER"}),
    shrinks=(
        *(("RESULT", 40), ("BATCH", 0), ("SLOT", 32), ("RESULT", 24), ("STANDBY", 0), ("PID", 0), ("SLOT", 20)),
        *(("TAKEOVER", 0), ("STOP", 0), ("RESULT", 0), ("SLOT", 8), ("HOW", 4)),
    ),
    words="RESULT",
    gap="  ",
)
_STALLS = Columns(
    ("PARTITION", "GROUP", "SLOT", "STALL", "UNDISTURBED", "OFFSET STILL", "LAG"),
    right=frozenset({"STALL", "UNDISTURBED", "OFFSET STILL"}),
    shrinks=(
        *(("GROUP", ALIKE), ("OFFSET STILL", 0), ("SLOT", 28), ("PARTITION", 32), ("GROUP", 20), ("SLOT", 20)),
        *(("PARTITION", 20), ("LAG", 0), ("UNDISTURBED", 0), ("GROUP", 8), ("SLOT", 8), ("PARTITION", 8), ("SLOT", 0)),
        ("GROUP", 0),
    ),
    gap="  ",
)


def seconds_of(seconds: float | None) -> str:
    """Give a duration to a thousandth of a second below one second; `-` for an unknown one."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds:.3f} s"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def totals(evidence: Evidence) -> list[tuple[str, str]]:
    """Give what is to be known first: name and text."""
    worst, facts = evidence.worst, []
    if evidence.outcome is not Outcome.DONE:
        facts.append(("outcome", str(evidence.outcome)))
    if worst is not None and worst.longest is not None:
        facts.append(("longest stall", f"{seconds_of(worst.longest.seconds)} ({worst.name})"))
    else:
        idle = bool(evidence.partitions) and all(one.lag_peak == 0 for one in evidence.partitions)
        facts.append(("longest stall", "none: nothing came" if idle else "unknown: no record of it"))
    facts.append(("undisturbed", seconds_of(evidence.undisturbed_seconds)))
    facts.append(("rebalances", _rebalances(evidence.groups)))
    attempted = [slot for slot in evidence.slots if slot.batch]
    warm = sum(slot.warm for slot in attempted)
    own = [slot for slot in evidence.slots if not slot.superfluous and not slot.kept]
    text = f"{sum(slot.ok for slot in attempted)} of {len(own)}"
    gone = sum(slot.ok and bool(slot.message) for slot in evidence.slots if slot.superfluous)
    killed = sum(slot.killed for slot in attempted)
    kept = sum(slot.kept for slot in evidence.slots)
    more = [
        f"{count} {word}"
        for count, word in (
            (warm, "warm"),
            (killed, "killed"),
            (kept, "already on it"),
            (gone, "stopped that the settings do not have"),
        )
        if count
    ]
    facts.append(("slots", ", ".join((text, *more))))
    if evidence.groups:
        facts.append(("lag before, peak, after", ", ".join(_lags(evidence.groups))))
    facts.append(("took", seconds_of(evidence.seconds)))
    if evidence.forced:
        facts.append(("forced", evidence.forced))
    elif evidence.reason not in ("", evidence.verb):
        facts.append(("reason", evidence.reason))
    return facts


def print_summary(evidence: Evidence, stream: TextIO) -> None:
    """Print it: a table with colours on a terminal, aligned plain lines elsewhere."""
    if is_terminal(stream):
        console_of(stream).print(table(evidence))
        return
    for line in plain_lines(evidence):
        stream.write(f"{line}\n")
    stream.flush()


def plain_lines(evidence: Evidence) -> list[str]:
    """Give it as aligned lines."""
    facts = totals(evidence)
    width = max(len(name) for name, _ in facts)
    lines = [*(f"{name.ljust(width)}  {cell(text)}" for name, text in facts), *remarks(evidence)]
    for columns, rows in _tables(evidence):
        lines += ["", *columns.table(rows, None)]
    return [*lines, *_rest(evidence, stalled(evidence))]


def grids(evidence: Evidence) -> list[tuple[Sequence[str], list[tuple[str, ...]]]]:
    """Return its tables: headings and rows of the slots, and of the partitions that stood still if there are any."""
    return [(columns.headings, rows) for columns, rows in _tables(evidence)]


def _tables(evidence: Evidence) -> list[tuple[Columns, list[tuple[str, ...]]]]:
    shown = stalled(evidence)
    slots = (_SLOTS, [_slot_cells(slot) for slot in evidence.slots])
    return [slots, (_STALLS, [_stall_cells(one) for one in shown])] if shown else [slots]


def table(evidence: Evidence) -> RenderableType:
    """Return it for a rich console; its tables fit the console's width."""
    return _Summary(evidence)


@dataclass(frozen=True)
class _Summary:
    evidence: Evidence

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        evidence = self.evidence
        facts = totals(evidence)
        names = max(len(name) for name, _ in facts) + len(_GAP)
        for name, text in facts:
            style = "red" if name in ("outcome", "forced") else "bold"
            for number, part in enumerate(wrapped(cell(text), max(options.max_width - names, 1))):
                line = text_of(f"{'' if number else name}".ljust(names) + part)
                line.stylize("bright_black", 0, names)
                line.stylize(style, names)
                yield line
        for remark in remarks(evidence):
            yield from (text_of(line, "yellow") for line in hanging(remark, options.max_width))
        shown = stalled(evidence)
        bad = [[not slot.ok for slot in evidence.slots], [evidence.too_long(one) for one in shown]]
        for (columns, rows), wrong in zip(_tables(evidence), bad, strict=False):
            layout = columns.fit(rows, options.max_width)
            yield text_of("")
            yield text_of(layout.heading(), "bold")
            for row, red in zip(rows, wrong, strict=True):
                for plain in layout.lines(row):
                    line = text_of(plain, "red" if red else "")
                    line.highlight_words([KILLED], "bold red")
                    yield line
        yield from (text_of(line, "bright_black") for line in _rest(evidence, shown))


def stalled(evidence: Evidence) -> list[PartitionEvidence]:
    """Give the partitions that stood still for longest, the worst first."""
    some = [one for one in evidence.partitions if one.longest is not None]
    return sorted(some, key=lambda one: -(one.longest.seconds if one.longest else 0.0))[:PARTITIONS]


def _rest(evidence: Evidence, shown: Sequence[PartitionEvidence]) -> list[str]:
    more = (
        len(evidence.partitions) - len(shown) if shown else 0
    )  # else there is no table that they would be left out of
    return [f"and {counted(more, 'more partition')}"] if more else []


def remarks(evidence: Evidence) -> list[str]:
    """Give what is remarkable: verdicts that were not passed, what was overruled, notes."""
    lines = [
        f"{one.name}: {one.verdict}" + "".join(f"\n  - {reason}" for reason in one.reasons)
        for one in evidence.verdicts
        if one.verdict != "passed"
    ]
    lines += [f"{one.name}, overruled: {reason}" for one in evidence.verdicts for reason in one.overruled]
    return [part for line in [*lines, *evidence.notes] for part in lines_of(line)]


def _rebalances(groups: Sequence[GroupEvidence]) -> str:
    counts = [group.rebalances for group in groups]
    if not counts or None in counts:
        return "unknown"
    planned = sum(group.planned for group in groups)
    total = sum(count for count in counts if count is not None)
    return f"{total}, {planned} planned" if planned else str(total)


def _lags(groups: Sequence[GroupEvidence]) -> list[str]:
    def text(lags: Sequence[int | None]) -> str:
        return "unknown" if None in lags else str(sum(lag for lag in lags if lag is not None))

    return [
        text([group.lag_before for group in groups]),
        text([group.lag_peak for group in groups]),
        text([group.lag_after for group in groups]),
    ]


def _slot_cells(slot: SlotEvidence) -> tuple[str, ...]:
    result = "ok" if slot.ok else f"failed: {slot.message.splitlines()[0] if slot.message else ''}"
    if slot.superfluous and slot.message:
        took, how = seconds_of(slot.seconds_of(PhaseKind.STOPPING)), KILLED if slot.killed else "stop"
        return (slot.name, "-", how, "-", took, "-", str(slot.old_pid or "-"), result)
    if not slot.batch:
        result = "already on it" if slot.kept else "not attempted"
        return (slot.name, "-", "-", "-", "-", "-", str(slot.old_pid or "-"), result)
    stop = slot.seconds_of(PhaseKind.STOPPING, PhaseKind.DRAINING)
    takeover = slot.seconds_of(PhaseKind.STARTING, PhaseKind.TAKING_OVER)
    pids = f"{slot.old_pid or '-'} -> {slot.new_pid}" if slot.new_pid else str(slot.old_pid or "-")
    how = "warm" if slot.warm else f"{KILLED}, start" if slot.killed else "stop, start"
    how = f"{how}, {KILLED}" if slot.warm and slot.killed else how
    standby = seconds_of(slot.seconds_of(PhaseKind.PREPARING))
    return (slot.name, str(slot.batch), how, standby, seconds_of(stop), seconds_of(takeover), pids, result)


def _stall_cells(one: PartitionEvidence) -> tuple[str, ...]:
    own = max((stall.seconds for stall in one.stalls), default=None)
    still = one.committed.seconds if one.committed else None
    lag = " ".join("?" if lag is None else str(lag) for lag in (one.lag_before, one.lag_peak, one.lag_after))
    times = (seconds_of(own), seconds_of(one.undisturbed_seconds), seconds_of(still))
    return (one.name, one.group, one.slot, *times, lag)
