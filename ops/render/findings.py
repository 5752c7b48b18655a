"""The table of what is wrong with hosts: what, and the command that mends it, which is never cut or broken."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Sequence
from typing import TextIO

from ops.core.checkup import Finding
from ops.core.plain import cell
from ops.render.console import console_of, text_of
from ops.render.streams import is_terminal

_HEADINGS = ("HOST", "FINDING", "MEND")
_LEAST = 28  # characters of a finding beside its command; with fewer the command stands below it
_GAP = "  "


def print_findings(findings: Sequence[Finding], stream: TextIO) -> None:
    """Print the table: on a terminal as wide as that, elsewhere a line a finding, nothing broken."""
    width = shutil.get_terminal_size().columns if is_terminal(stream) else None
    lines = finding_lines(findings, width)
    if width is None:
        stream.write("".join(f"{line}\n" for line in lines))
        return
    console = console_of(stream)
    for index, line in enumerate(lines):
        console.print(text_of(line, "bold" if index == 0 else ""), soft_wrap=True)


def finding_lines(findings: Sequence[Finding], width: int | None) -> list[str]:
    """Give the table's lines.

    Parameters
    ----------
    width : None for as wide as needed.
    """
    rows = [(cell(one.host or "-"), cell(" ".join(one.text.split())), cell(one.mend)) for one in findings]
    first = max(len(host) for host, _, _ in (_HEADINGS, *rows))
    last = max(len(mend) for _, _, mend in (_HEADINGS, *rows))
    room = None if width is None else width - first - last - 2 * len(_GAP)
    below = room is not None and room < _LEAST
    if below and width is not None:
        room = width - first - len(_GAP)
    middle = max(len(text) for _, text, _ in (_HEADINGS, *rows))
    middle = middle if room is None else min(middle, max(room, 1))
    lines = []
    for host, text, mend in (_HEADINGS, *rows):
        parts = textwrap.wrap(text, middle) or [""]
        begin = f"{host.ljust(first)}{_GAP}"
        rest = " " * len(begin)
        if below:
            lines += [f"{begin if index == 0 else rest}{part}" for index, part in enumerate(parts)]
            lines.append(f"{rest}{mend}")
        else:
            lines.append(f"{begin}{parts[0].ljust(middle)}{_GAP}{mend}".rstrip())
            lines += [f"{rest}{part}" for part in parts[1:]]
    return lines
