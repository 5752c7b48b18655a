"""The picture of a rollout: partitions by time, a band a slot; beside it each handover under the magnifying glass."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from ops.core.amounts import counted, in_seconds
from ops.core.evidence import Evidence, Phase, PhaseKind, SlotEvidence
from ops.core.plain import cell
from ops.core.records import dataclass
from ops.core.stalls import PartitionEvidence, Stall
from ops.render.cuts import Keep, cut
from ops.render.evidence import seconds_of, totals
from ops.render.palette import STYLE
from ops.render.svg import Drawing, shorten
from ops.render.timeline_head import CLASSES, PASSED, legend, reasons

WIDTH = 1280.0
ROWS = 1000
"""Partitions that are drawn at most; of each band the ones that stood still for longest."""
_LEFT, _OVERVIEW, _CLOSE, _MARGIN = 236.0, 560.0, 420.0, 20.0
_CLOSE_X = _LEFT + _OVERVIEW + 24
_ROW, _STRIP, _GAP = 13.0, 20.0, 8.0
_LEAST = 2.0  # the narrowest mark that is still seen
_NAME_CHARACTERS, _LABEL_CHARACTERS = 27, 31
_STILL = (PhaseKind.DRAINING, PhaseKind.TAKING_OVER, PhaseKind.STOPPING, PhaseKind.STARTING)


def timeline(evidence: Evidence) -> str:
    """Draw a rollout's evidence as a self-contained SVG, readable on light and on dark ground."""
    return _Timeline(evidence).draw()


@dataclass(frozen=True)
class _Scale:
    """A stretch of time on a stretch of paper."""

    x: float
    width: float
    start: float
    end: float

    def at(self, seconds: float) -> float:
        """Give where a time is; what lies outside is at the edge."""
        share = (seconds - self.start) / (self.end - self.start)
        return self.x + self.width * min(max(share, 0.0), 1.0)

    def touches(self, start: float, end: float) -> bool:
        return end >= self.start and start <= self.end

    def stretch(self, start: float, end: float) -> tuple[float, float]:
        """Give where a span begins and how wide it is, never too narrow to be seen."""
        left, right = self.at(start), self.at(end)
        if right - left >= _LEAST:
            return left, right - left
        middle = min(max((left + right) / 2, self.x + _LEAST / 2), self.x + self.width - _LEAST / 2)
        return middle - _LEAST / 2, _LEAST


class _Timeline:
    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.picture = Drawing(STYLE)
        total = max(evidence.seconds, 0.001)
        self.whole = _Scale(_LEFT, _OVERVIEW, -max(total * 0.05, 0.2), total * 1.01)
        self.limit = evidence.stall_limit_seconds
        names = {cell(one.name) for one in evidence.slots} | {cell(one.slot) for one in evidence.partitions}
        self._names = {
            killed: cut(names, _NAME_CHARACTERS - (9 if killed else 0), Keep.BEGIN) for killed in (False, True)
        }
        self._labels = cut({cell(one.name) for one in evidence.partitions}, _LABEL_CHARACTERS, Keep.BEGIN)

    def draw(self) -> str:
        evidence = self.evidence
        title = f"{evidence.verb} of {evidence.application}, {evidence.stage}: {evidence.outcome}"
        y = self._head(title)
        y = legend(self.picture, evidence, _LEFT, WIDTH - _MARGIN, y)
        top = y = reasons(self.picture, evidence, _LEFT, WIDTH - _MARGIN, self._gates(y))
        bands = self._bands()
        for slot, rows in bands:
            y = self._band(slot, rows, y, max(ROWS // max(len(bands), 1), 4))
        self._axis(y)
        self._generations(top, y)
        for note in evidence.notes:
            self.picture.text("muted", _MARGIN, y + 34, shorten(note, 180))
            y += 18
        return self.picture.finish(
            WIDTH, y + 40, title, "; ".join(f"{name}: {text}" for name, text in totals(evidence))
        )

    def _head(self, title: str) -> float:
        evidence, draw = self.evidence, self.picture
        draw.text("title", _MARGIN, 34, shorten(title, 90))
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(evidence.started_at))
        release = evidence.release
        if evidence.release_before and evidence.release_before != release:
            release = f"{evidence.release_before} \N{RIGHTWARDS ARROW} {release}"
        facts = [f"release {release}" if release else "", evidence.strategy, when, evidence.holder, evidence.run]
        draw.text("muted", _MARGIN, 56, shorten(" \N{MIDDLE DOT} ".join(one for one in facts if one), 190))
        x, y = _MARGIN, 92.0
        for name, text in totals(evidence):
            width = 24 + max(6.6 * len(name), 9.4 * len(text))
            if x + width > WIDTH - _MARGIN and x > _MARGIN:
                x, y = _MARGIN, y + 46
            draw.text("muted", x, y - 12, name)
            draw.text("bad-figure" if name in ("forced", "outcome") else "figure", x, y + 6, shorten(text, 70))
            x += width
        return y + 36

    def _gates(self, y: float) -> float:
        """Draw what preflight and gates said, above all bands."""
        if not self.evidence.verdicts:
            return y
        self.picture.text("label", _LEFT - 8, y + 14, "preflight and gates")
        for verdict in self.evidence.verdicts:
            kind = PASSED if verdict.verdict == PASSED else "refused"
            x, width = self.whole.stretch(verdict.at, verdict.at + verdict.seconds)
            tip = f"{verdict.name}: {verdict.verdict} after {seconds_of(verdict.seconds)}"
            self.picture.box(kind, x, y + 5, width, 10, round_=1, tip="\n".join([tip, *verdict.reasons]))
        return y + 22

    def _bands(self) -> list[tuple[SlotEvidence, list[PartitionEvidence]]]:
        by_slot: dict[str, list[PartitionEvidence]] = {}
        for partition in self.evidence.partitions:
            by_slot.setdefault(partition.slot, []).append(partition)
        bands = [(slot, by_slot.pop(slot.name, [])) for slot in self.evidence.slots]
        for name, rows in by_slot.items():
            host, _, process = name.partition(" ")
            if name:
                bands.append((SlotEvidence(host, process, message="not part of this rollout"), rows))
                continue
            idle = [one for one in rows if _quiet(one)]
            some = [one for one in rows if not _quiet(one)]
            text = "of them only committed offsets are known"
            bands += [(SlotEvidence("no consumer known", "", message=text), some)] if some else []
            text = "nobody has told whose they are"
            bands += [(SlotEvidence("idle partitions", "", message=text), idle)] if idle else []
        return bands

    def _band(self, slot: SlotEvidence, rows: Sequence[PartitionEvidence], y: float, most: int) -> float:
        draw = self.picture
        quiet = [one for one in rows if _quiet(one)]
        shown, hidden = _shown([one for one in rows if not _quiet(one)], most)
        height = _STRIP + _ROW * (len(shown) + bool(hidden) + bool(quiet)) + 4
        draw.box("band", _MARGIN, y, WIDTH - 2 * _MARGIN, height, round_=4)
        for tick in self._ticks():
            draw.line("tick", self.whole.at(tick), y, self.whole.at(tick), y + height)
        kind = "name" if slot.ok and slot.batch else "bad-name" if not slot.ok else "muted"
        name = self._names[slot.killed].get(cell(slot.name), slot.name)
        draw.text(kind, _MARGIN + 8, y + 15, name, tip=f"{slot.name}: {slot.message}")
        if slot.killed:
            draw.text("killed-name", _LEFT - 8, y + 15, "KILLED", tip=f"{slot.name} did not end as it was asked to")
        close = self._close(slot, rows)
        scales = [self.whole, *([close] if close else [])]
        for scale in scales:
            self._phases(slot, scale, y, height)
        if close is None:
            draw.text("small", _CLOSE_X, y + 14, shorten(slot.message or "not attempted", 66), tip=slot.message)
        else:
            took = seconds_of(close.end - close.start)
            draw.text("scale", _CLOSE_X + _CLOSE, y + 14, f"\N{LEFT RIGHT ARROW} {took}")
        row = y + _STRIP
        for partition in shown:
            label = self._labels.get(cell(partition.name), partition.name)
            draw.text("label", _LEFT - 8, row + 9.5, label, tip=partition.name)
            for scale in scales:
                self._row(partition, slot, scale, row)
            row += _ROW
        if hidden:
            longest = max((one.longest.seconds for one in hidden if one.longest), default=0.0)
            text = f"and {counted(len(hidden), 'more partition')}, no stall above {seconds_of(longest)}"
            draw.text("small", _LEFT, row + 9.5, text)
            row += _ROW
        if quiet:
            names = ", ".join(dict.fromkeys(one.topic for one in quiet))
            text = f"{counted(len(quiet), 'partition')} where nothing came: {names}"
            draw.text("small", _LEFT, row + 9.5, shorten(text, 150))
        return y + height + _GAP

    def _phases(self, slot: SlotEvidence, scale: _Scale, y: float, height: float) -> None:
        for phase in slot.phases:
            if scale.touches(phase.start, phase.start + phase.seconds):
                x, width = scale.stretch(phase.start, phase.start + phase.seconds)
                killed = slot.killed and phase.kind in (PhaseKind.STOPPING, PhaseKind.DRAINING)
                what = f"{phase.kind}, killed" if killed else str(phase.kind)
                box = "killed" if killed else CLASSES[phase.kind]
                if phase.kind in _STILL:
                    self.picture.box(f"veil {box}", x, y + 17, width, height - 19)
                tip = f"{slot.name} {what}: {seconds_of(phase.seconds)}"
                self.picture.box(box, x, y + 5, width, 10, round_=1, tip=tip)
                text = f"{what} {seconds_of(phase.seconds)}"
                if width > 6.2 * len(text):
                    self.picture.text("inside-killed" if killed else "inside", x + 4, y + 13, text)

    def _row(self, partition: PartitionEvidence, slot: SlotEvidence, scale: _Scale, y: float) -> None:
        draw = self.picture
        draw.line("rule", scale.x, y + 6, scale.x + scale.width, y + 6)
        for span in partition.spans:
            if scale.touches(span.start, span.end):
                kind = "after" if slot.kept or span.pid == slot.new_pid else "before"
                x, width = scale.stretch(max(span.start, scale.start), min(span.end, scale.end))
                draw.box(kind, x, y + 4, width, 4)
        stalls = [one for one in self._stalls(partition) if scale.touches(one.start, one.end)]
        for stall in stalls:
            x, width = scale.stretch(stall.start, stall.end)
            kind = "long" if stall.seconds > self.limit else "stall"
            tip = f"{partition.name}: {seconds_of(stall.seconds)} at {stall.start:.2f} s"
            draw.box(kind, x, y + 1.5, width, 9, round_=1, tip=tip)
        if stalls:
            longest = max(stalls, key=lambda stall: stall.seconds)
            self._stall_text(scale, sum(scale.stretch(longest.start, longest.end)), y, longest)

    def _stall_text(self, scale: _Scale, x: float, y: float, stall: Stall) -> None:
        text = seconds_of(stall.seconds)
        kind = "stall-long" if stall.seconds > self.limit else "stall-text"
        if x + 3 + 6 * len(text) < scale.x + scale.width:
            self.picture.box("band", x, y + 1.5, 5.6 * len(text) + 4, 9)  # the line behind it would strike it out
            self.picture.text(kind, x + 3, y + 9.5, text)

    def _stalls(self, partition: PartitionEvidence) -> list[Stall]:
        """Give what is drawn: by the consumers' own records, and what the committed offset adds to them."""
        longest = partition.longest
        return [*partition.stalls, *([longest] if longest and longest not in partition.stalls else [])]

    def _close(self, slot: SlotEvidence, rows: Sequence[PartitionEvidence]) -> _Scale | None:
        """Give the magnified time around a slot's handover: its standstill, and its partitions' stalls in it."""
        still = [phase for phase in slot.phases if phase.kind in _STILL]
        if not still:
            return None
        start, end = still[0].start, max(_end(phase) for phase in still)
        near = (end - start) * 3
        for stall in (stall for row in rows for stall in row.stalls):
            if stall.end >= start and stall.start <= end and stall.seconds <= near:
                start, end = min(start, stall.start), max(end, stall.end)
        margin = max((end - start) * 0.2, 0.05)
        return _Scale(_CLOSE_X, _CLOSE, start - margin, end + margin)

    def _ticks(self) -> list[float]:
        step = _step(self.whole.end - self.whole.start)
        first = math.ceil(self.whole.start / step)
        return [count * step for count in range(first, math.floor(self.whole.end / step) + 1)]

    def _axis(self, bottom: float) -> None:
        """Write the time below the bands."""
        for tick in self._ticks():
            self.picture.text("axis", self.whole.at(tick), bottom + 8, in_seconds(tick))
        self.picture.text("axis", _CLOSE_X + _CLOSE / 2, bottom + 8, "each slot's handover, magnified")

    def _generations(self, top: float, bottom: float) -> None:
        for group in self.evidence.groups:
            for generation in group.generations[1:]:
                x = self.whole.at(generation.at)
                self.picture.line("generation", x, top, x, bottom - _GAP)
                text = f"{shorten(group.name, 20)} {generation.number}"
                self.picture.text("generation-text", x + 3, bottom - _GAP + 4, text)


def _quiet(partition: PartitionEvidence) -> bool:
    """Whether nothing came: no record was finished, and none was seen to wait."""
    lags = (partition.lag_before, partition.lag_peak, partition.lag_after)
    return not partition.spans and partition.longest is None and not any(lags)


def _shown(rows: Sequence[PartitionEvidence], most: int) -> tuple[list[PartitionEvidence], list[PartitionEvidence]]:
    """Part the rows in those that are drawn, in their order, and the rest."""
    if len(rows) <= most:
        return list(rows), []
    by_stall = sorted(rows, key=lambda one: one.longest.seconds if one.longest else 0.0, reverse=True)
    chosen = {id(one) for one in by_stall[: most - 1]}
    return [one for one in rows if id(one) in chosen], by_stall[most - 1 :]


def _end(phase: Phase) -> float:
    return phase.start + phase.seconds


def _step(seconds: float) -> float:
    """Give a round distance for about eight figures."""
    rough = seconds / 8
    power: float = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
