"""Lines of many logs in one stream, each with its host and process: in colour on a terminal, plain in a pipe."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TextIO

from ops.core.plain import cell, shown
from ops.render.console import console_of
from ops.render.streams import is_terminal

_COLOURS = ("cyan", "green", "magenta", "yellow", "blue", "bright_cyan", "bright_green", "bright_magenta")


class LogLines:
    """Writes lines: `host1 karafka-0 | what it wrote`; `host1 | ...` of what no process wrote.

    Parameters
    ----------
    names : of all whose lines come, so that the text begins in one column, and each has a colour of its own.
    """

    def __init__(self, stream: TextIO, names: Sequence[tuple[str, str]]) -> None:
        self._stream = stream
        self._width = max((len(_prefix(host, process)) for host, process in names), default=0)
        self._colours = {name: _COLOURS[index % len(_COLOURS)] for index, name in enumerate(names)}
        self._console = None
        if is_terminal(stream):
            self._console = console_of(stream)

    def write(self, host: str, process: str, line: str) -> None:
        """Write one line at once."""
        prefix = cell(_prefix(host, process)).ljust(self._width) + " | "
        plain = shown(line).replace("\n", " ")  # tabs stay: an application's own columns
        if self._console is None:
            self._stream.write(f"{prefix}{plain}\n")
            self._stream.flush()
            return
        from rich.text import Text

        coloured = (prefix, self._colours.get((host, process), ""))
        self._console.print(Text.assemble(coloured, plain), soft_wrap=True)


def _prefix(host: str, process: str) -> str:
    return f"{host} {process}" if process else host
