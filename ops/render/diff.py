"""A unified diff: in colour on a terminal, plain elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from ops.core.plain import cell
from ops.render.console import console_of, text_of
from ops.render.streams import is_terminal

_STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


def print_diff(lines: Iterable[str], stream: TextIO, indent: str = "    ") -> None:
    """Print a diff's lines."""
    if not is_terminal(stream):
        stream.write("".join(f"{indent}{cell(line)}\n" for line in lines))
        return
    console = console_of(stream)
    for line in lines:
        style = next((style for begin, style in _STYLES.items() if line.startswith(begin)), "")
        console.print(text_of(f"{indent}{line}", style), soft_wrap=True)
