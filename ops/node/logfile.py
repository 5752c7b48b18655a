"""A process's log file, followed as it grows, is truncated (copytruncate) or replaced (rename)."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from datetime import datetime
from io import FileIO
from pathlib import Path
from re import compile as pattern

from ops.core.regular import opened
from ops.node import logtail

_CHUNK_BYTES = 1 << 18
TIME = pattern(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]{1,6}))?"
    r"(?: ?(?:(Z)|([+-][0-9]{2}):?([0-9]{2})))?"
)


def seconds_of(line: str) -> float | None:
    """Read the time that a line begins with, by the host's own zone where it names none; None for none."""
    found = TIME.match(line)
    if found is None:
        return None
    day, time_of_day, fraction, utc, hours, minutes = found.groups()
    zone = "+00:00" if utc else f"{hours}:{minutes}" if hours else ""
    try:  # before 3.11 it takes this one form alone
        return datetime.fromisoformat(f"{day}T{time_of_day}.{fraction or '':0<6}{zone}").timestamp()
    except ValueError:
        return None


def not_older(lines: Iterable[str], than: float, changed: float) -> list[str]:
    """Give the lines from a time on; one without a time is as old as the one before it.

    Where no line begins with a time, all of them are as old as the file's last change.
    """
    kept: list[str] = []
    young: bool | None = None
    undated: list[str] = []
    for line in lines:
        at = seconds_of(line)
        if at is not None:
            young = at >= than
        if young:
            kept.append(line)
        elif young is None:
            undated.append(line)
    if young is None:
        return undated if changed >= than else []
    return kept


class LogFile:
    """One log file, followed by its name.

    `begin` once, then `more` again and again; a file that is not there (yet) has no lines.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: FileIO | None = None
        self._rest = b""

    def begin(self, lines: int, since_seconds: float | None = None) -> list[str]:
        """Give the last lines; what comes after them is for `more`.

        Raises
        ------
        OSError : it cannot be read.
        """
        if not self._open():
            return []
        assert self._file is not None
        end = os.fstat(self._file.fileno()).st_size
        shown = list(logtail.tail(self._path, lines, until=end))
        self._file.seek(max(end - 1, 0))
        if end and self._file.read(1) != b"\n" and shown:
            self._rest = shown.pop().encode()  # it is still being written
        self._file.seek(end)
        if since_seconds is not None:
            shown = not_older(shown, time.time() - since_seconds, os.fstat(self._file.fileno()).st_mtime)
        return shown

    def rest(self) -> list[str]:
        """Give the line that was begun and never ended."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []

    def more(self) -> list[str]:
        """Give the lines that came since.

        Raises
        ------
        OSError : it cannot be read any more.
        """
        if self._file is None and not self._open():
            return []
        assert self._file is not None
        found = self._read(self._file)
        if self._replaced(self._file):
            found += [*self._read(self._file), *self.rest()]  # what came between the read and the rename
            self.close()
            if self._open():
                found += self._read(self._file)
        return found

    def close(self) -> None:
        """Leave it."""
        if self._file is not None:
            self._file.close()
        self._file = None

    def _open(self) -> bool:
        try:
            self._file = FileIO(opened(self._path))
        except FileNotFoundError:
            return False
        return True

    def _read(self, file: FileIO) -> list[str]:
        if os.fstat(file.fileno()).st_size < file.tell():
            file.seek(0)  # truncated
            self._rest = b""
        found: list[str] = []
        while part := file.read(_CHUNK_BYTES):
            *lines, self._rest = (self._rest + part).split(b"\n")
            found += [_text(line) for line in lines]
            self._rest = self._rest[: 4 * logtail.LINE_CHARACTERS]
        return found

    def _replaced(self, file: FileIO) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False  # renamed, and nobody has made a new one yet
        mine = os.fstat(file.fileno())
        return (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino)


def _text(line: bytes) -> str:
    return logtail.cut(line.decode(errors="replace").removesuffix("\r"))
