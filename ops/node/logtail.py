"""The last lines of a log file."""

from __future__ import annotations

import os
from pathlib import Path

from ops.core.masking import SECRETS
from ops.core.regular import opened

LINE_CHARACTERS = 2000
_BLOCK_BYTES = 64 * 1024
_MAX_BYTES = 4 * 1024 * 1024


def size(path: Path) -> int:
    """Give a log's size in bytes; 0 for a missing one."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def tail(path: Path, lines: int, *, since: int = 0, until: int | None = None) -> tuple[str, ...]:
    """Return the last `lines` lines, read from the file's end; empty for a file that is missing or cannot be read.

    It goes with what came of a start or a stop, which has to be told all the same: the log may lead to /dev/null.

    Parameters
    ----------
    since : leave out what lies before this byte; a file that was truncated since is read from its begin.
    until : leave out what lies behind this byte.

    A line of more than 2000 characters is cut, bytes that are no UTF-8 are replaced.
    """
    if lines <= 0:
        return ()
    try:
        file = os.fdopen(opened(path), "rb")
    except OSError:
        return ()
    with file:
        end = file.seek(0, 2) if until is None else min(until, file.seek(0, 2))
        floor = max(since if since <= end else 0, end - _MAX_BYTES)
        start, data = end, b""
        while start > floor and data.count(b"\n") <= lines:
            step = min(_BLOCK_BYTES, start - floor)
            start -= step
            file.seek(start)
            data = file.read(step) + data
    text = data.decode(errors="replace").replace("\r\n", "\n").removesuffix("\n")
    return tuple(cut(line) for line in text.split("\n")[-lines:]) if text else ()


def cut(line: str) -> str:
    """Give a line, its end left out where it is very long."""
    if len(line) <= LINE_CHARACTERS:
        return line
    line = SECRETS.hide(line)  # half of one would not be known any more
    if len(line) <= LINE_CHARACTERS:
        return line
    return f"{line[:LINE_CHARACTERS]} ... ({len(line) - LINE_CHARACTERS} more characters)"
