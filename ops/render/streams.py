"""Where output goes: a terminal gets colours and a live table, everything else plain lines."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping
from typing import TextIO

from ops.render.cuts import hanging


def is_terminal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream is a terminal, or is to be treated like one.

    TTY_COMPATIBLE decides where it is set, as rich has it; a dumb terminal is none. NO_COLOR (no-color.org) is left to
    rich: a table without colours is still a table.
    """
    if environ.get("TTY_COMPATIBLE") in ("0", "1"):
        return environ["TTY_COMPATIBLE"] == "1"
    return stream.isatty() and environ.get("TERM") not in ("dumb", "unknown")


def width_of_terminal(stream: TextIO) -> int | None:
    """Return how many characters a line may have where a stream is a terminal; None elsewhere: nothing is cut there.

    What only counts as a terminal (TTY_COMPATIBLE) has a width where COLUMNS says so.
    """
    known = stream.isatty() or "COLUMNS" in os.environ
    return shutil.get_terminal_size().columns if known and is_terminal(stream) else None


def fitting(lines: Iterable[str], stream: TextIO) -> list[str]:
    """Return lines as a stream has room for them: on a terminal one that is too wide goes on, between words, indented.

    Not for commands, which are to be copied.
    """
    width = width_of_terminal(stream)
    return list(lines) if width is None else [part for line in lines for part in hanging(line, width)]
