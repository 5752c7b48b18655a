"""The journal of a unit entry by entry, and what comes: systemd's own words and the process's."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ops.core import systemd
from ops.core.deadline import Deadline
from ops.node import logtail
from ops.node.logfile import TIME
from ops.node.systemctl import Systemctl

_CHUNK_BYTES = 1 << 18
_READ_SECONDS = 15.0
_END_SECONDS = 2.0


@dataclass(frozen=True)
class Entry:
    """One entry: when it was written (microseconds since 1970), where it is, its lines."""

    at: int
    cursor: str
    lines: tuple[str, ...]


def past(systemctl: Systemctl, unit: str) -> list[Entry]:
    """Read what a unit's journal has, the last 1000 entries at most.

    Raises
    ------
    SystemdError : it cannot be read.
    """
    text = systemctl.run(systemd.journal(unit), unit, Deadline(_READ_SECONDS))
    return [entry for line in text.splitlines() if (entry := parsed(line))]


class Following:
    """A unit's journal from an entry on, read by `journalctl`, which ends once nobody reads what it writes.

    So nothing has to end it, which this process could not do where it runs by sudo; and it does not outlive this one.

    Parameters
    ----------
    after : what has been read of it already.

    Attributes
    ----------
    descriptor : readable when there are lines, or it has ended.

    Raises
    ------
    OSError : there is no journalctl, or no sudo.
    """

    def __init__(self, systemctl: Systemctl, unit: str, after: Sequence[Entry]) -> None:
        self._seen = frozenset(entry.cursor for entry in after)
        self._from = after[-1].at if after else 0
        self._process = subprocess.Popen(
            systemctl.argv(systemd.follow(unit)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            **systemctl.rights(),
        )
        assert self._process.stdout is not None
        self.descriptor = self._process.stdout.fileno()
        self._rest = b""

    def more(self) -> list[str] | None:
        """Give the lines there are now; None once it has ended. Waits where there are none."""
        part = os.read(self.descriptor, _CHUNK_BYTES)
        if not part:
            return None
        *lines, self._rest = (self._rest + part).split(b"\n")
        found = [entry for line in lines if (entry := parsed(line))]
        return [line for one in found if one.at >= self._from and one.cursor not in self._seen for line in one.lines]

    def close(self) -> str:
        """Leave it, and wait until it has ended; gives why it ended, where it did so by itself."""
        by_itself = self._process.poll() is not None
        if self._process.stdout is not None:
            self._process.stdout.close()
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(PermissionError):
                self._process.kill()
            return ""
        return f"journalctl ended with {code}" if by_itself and code else ""


def parsed(line: str | bytes) -> Entry | None:
    """Read one entry of `--output=json`; a line that tells no time itself is given the journal's."""
    try:
        entry: Any = json.loads(line)
        message, at = entry["MESSAGE"], int(entry["__REALTIME_TIMESTAMP"])
        cursor = str(entry["__CURSOR"])
    except (ValueError, KeyError, TypeError):
        return None
    if isinstance(message, list):  # no UTF-8: its bytes
        message = bytes(message).decode(errors="replace")
    texts = str(message).split("\n")
    if not TIME.match(texts[0]):
        seconds, micros = divmod(at, 1_000_000)
        texts[0] = f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(seconds))},{micros // 1000:03d} {texts[0]}"
    return Entry(at, cursor, tuple(logtail.cut(text) for text in texts))
