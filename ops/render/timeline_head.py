"""What stands above a timeline's bands: what its colours mean, and why a preflight or gate did not let pass."""

from __future__ import annotations

from ops.core.evidence import Evidence, PhaseKind, VerdictEvidence
from ops.render.cuts import wrapped
from ops.render.evidence import seconds_of
from ops.render.svg import Drawing, shorten

PASSED = "passed"
CLASSES = {kind: kind.value.replace(" ", "-") for kind in PhaseKind}
"""Of what is drawn of each phase."""
REASONS = 12
"""Lines of reasons that are written at most; the summary has them all."""
_CHARACTER, _LEGEND_CHARACTER, _ROW, _LINE = 6.2, 5.8, 17.0, 15.0
_MEANINGS = {
    PhaseKind.PREPARING: "replacement starts",
    PhaseKind.DRAINING: "old one finishes and commits",
    PhaseKind.TAKING_OVER: "new one takes over",
    PhaseKind.STOPPING: "old one stops",
    PhaseKind.STARTING: "new one starts",
}


def legend(draw: Drawing, evidence: Evidence, left: float, right: float, y: float) -> float:
    """Draw what each colour that occurs means.

    Returns
    -------
    y : where the next thing may begin.
    """
    x = left
    for kind, text in _meanings(evidence):
        width = 34 + _LEGEND_CHARACTER * len(text)
        if x + width > right and x > left:
            x, y = left, y + _ROW
        if kind == "generation":
            draw.line(kind, x + 6, y - 10, x + 6, y + 2)
        else:
            draw.box(kind, x, y - 8, 12, 9, round_=2)
        draw.text("small", x + 16, y, text)
        x += width
    return y + 8


def _meanings(evidence: Evidence) -> list[tuple[str, str]]:
    """Return class and meaning of all that is drawn."""
    seen = {phase.kind for slot in evidence.slots for phase in slot.phases}
    verdicts = {one.verdict == PASSED for one in evidence.verdicts}
    found = [("before", "old process works"), ("after", "new process works")]
    found += [(CLASSES[kind], f"{kind}: {_MEANINGS[kind]}") for kind in PhaseKind if kind in seen]
    if any(slot.killed for slot in evidence.slots):
        found.append(("killed", "killed: it did not end in time"))
    limit = evidence.stall_limit_seconds
    found.append(("stall", "stall: messages wait, none is finished"))
    found.append(("long", f"stall above {seconds_of(limit)}, twice the usual"))
    found += [("passed", "gate passed")] if True in verdicts else []
    found += [("refused", "gate did not pass")] if False in verdicts else []
    if any(len(group.generations) > 1 for group in evidence.groups):
        found.append(("generation", "a group's new generation: a rebalance"))
    return found


def reasons(draw: Drawing, evidence: Evidence, left: float, right: float, y: float) -> float:
    """Write why a preflight or gate did not let pass, and what was overruled.

    Returns
    -------
    y : where the next thing may begin.
    """
    lines = [line for verdict in evidence.verdicts for line in _why(verdict, int((right - left) / _CHARACTER))]
    for kind, text in lines[:REASONS]:
        y += _LINE
        draw.text(kind, left, y, text)
    if len(lines) > REASONS:
        y += _LINE
        draw.text("small", left, y, f"and {len(lines) - REASONS} more lines: the summary has them")
    return y + 8 if lines else y


def _why(verdict: VerdictEvidence, characters: int) -> list[tuple[str, str]]:
    lines = [("small", f"{verdict.name}, overruled: {reason}") for reason in verdict.overruled]
    if verdict.verdict != PASSED:
        lines.append(("bad-reason", f"{verdict.name}: {verdict.verdict} after {seconds_of(verdict.seconds)}"))
        lines += [("reason", f"- {reason}") for reason in verdict.reasons]
    return [
        (kind, f"{'' if number == 0 else '  '}{shorten(part, characters)}")
        for kind, text in lines
        for number, part in enumerate(wrapped(text, characters - 2))
    ]
