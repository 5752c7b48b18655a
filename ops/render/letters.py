"""Dead letters as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ops.core.amounts import counted
from ops.core.plain import cell
from ops.render.jobs import age

_CUT = 100


def letter_lines(letters: Sequence[dict[str, Any]], now: float) -> list[str]:
    """Give dead letters as lines: their names, what failed, when, and why, and the begin of what was in it."""
    lines = [counted(len(letters), "dead letter")]
    for one in letters:
        where = f"{one['topic']}[{one['partition']}] offset {one['offset']}"
        tries = f"after {one['attempts']} attempt{'' if one['attempts'] == '1' else 's'}"
        lines.append(f"{one['name']}  {age(now - one['at'])} ago, {tries}, from {where}: {one['reason']}")
        content = one["omitted"] or one["value"]
        lines.append(f"    {_cut(one['key'])}: {_cut(content)}" if one["key"] else f"    {_cut(content)}")
    return [cell(line) for line in lines]


def kept_lines(kept: Sequence[tuple[str, str]]) -> list[str]:
    """Give the letters that could not be sent again as lines, each with the reason."""
    return [cell(f"{name} stays: {why}") for name, why in kept]


def _cut(text: str) -> str:
    line = " ".join(cell(text).split())  # hidden first: half a secret would not be known any more
    return line if len(line) <= _CUT else f"{line[:_CUT]}..."
