"""The table of what is wrong with hosts: what, and the command that mends it, which is never cut or broken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from ops.core.checkup import Finding
from ops.core.plain import cell
from ops.render.columns import Columns
from ops.render.console import console_of, text_of
from ops.render.cuts import begin_of, width_of, wrapped
from ops.render.streams import is_terminal, width_of_terminal

_HEADINGS = ("HOST", "FINDING", "MEND")
_LEAST = 28  # characters of a finding beside its command; with fewer the command stands below it
_GAP = "  "
_INDENT = 2


def print_findings(findings: Sequence[Finding], stream: TextIO) -> None:
    """Print the table: on a terminal as wide as that, elsewhere a line a finding, nothing broken."""
    lines = finding_lines(findings, width_of_terminal(stream))
    if not is_terminal(stream):
        stream.write("".join(f"{line}\n" for line in lines))
        return
    console = console_of(stream)
    for index, line in enumerate(lines):
        console.print(text_of(line, "bold" if index == 0 else ""), soft_wrap=True)


def finding_lines(findings: Sequence[Finding], width: int | None) -> list[str]:
    """Return the table's lines: a finding beside its command, else above it, else both below the host's name.

    Below a finding its command has a line of its own, as far to the left as it needs to be in one piece.

    Parameters
    ----------
    width : None for as wide as needed. A command that is longer is left to the terminal: it is to be copied.
    """
    rows = [(cell(one.host or "-"), _text(one), cell(one.mend)) for one in findings]
    first, middle, last = (max(width_of(row[index]) for row in (_HEADINGS, *rows)) for index in range(3))
    if width is None:
        return [_GAP.join((*map(_padded, row[:2], (first, middle)), row[2])).rstrip() for row in (_HEADINGS, *rows)]
    longest = max((width_of(word) for _, text, _ in rows for word in text.split()), default=0)
    room = width - first - last - 2 * len(_GAP)
    if room >= max(_LEAST, longest):
        columns = Columns(_HEADINGS, frozenset(), (), gap=_GAP)
        parts = [(host, wrapped(text, min(middle, room)), mend) for host, text, mend in rows]
        cells = [
            (host if not index else "", part, mend if not index else "")
            for host, some, mend in parts
            for index, part in enumerate(some)
        ]
        return columns.table(cells, width)
    indent = first + len(_GAP)
    beside = width - indent >= max(_LEAST, longest)
    begin = " " * (indent if beside else _INDENT)
    lines = [_GAP.join((_padded("HOST", first) if beside else "HOST", "FINDING, MEND"))]
    for host, text, mend in rows:
        some = wrapped(text, width - len(begin))
        if beside:
            lines.append(_padded(host, indent) + some.pop(0))
        else:
            lines.append(host if width_of(host) <= width else f"{begin_of(host, width - 1)}…")
        lines += [f"{begin}{part}" for part in some]
        lines.append(" " * min(len(begin), max(width - width_of(mend), 0)) + mend)
    return lines


def _text(finding: Finding) -> str:
    return ("remark: " if finding.remark else "") + " ".join(cell(finding.text).split())


def _padded(text: str, width: int) -> str:
    return text + " " * (width - width_of(text))
