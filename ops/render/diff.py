"""A unified diff: in colour on a terminal, plain elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from ops.render.streams import is_terminal

_STYLES = {"+++": "bold", "---": "bold", "@@": "cyan", "+": "green", "-": "red"}


def print_diff(lines: Iterable[str], stream: TextIO, indent: str = "    ") -> None:
    """Print a diff's lines."""
    if not is_terminal(stream):
        stream.write("".join(f"{indent}{line}\n" for line in lines))
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, highlight=False)
    for line in lines:
        style = next((style for begin, style in _STYLES.items() if line.startswith(begin)), "")
        console.print(Text(f"{indent}{line}", style=style), soft_wrap=True)
