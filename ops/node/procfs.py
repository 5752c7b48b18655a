"""What one process uses, from one read of its /proc entry; psutil would cost the agent 20 ms for the same."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from ops.core.identity import stat_fields
from ops.core.records import dataclass


@dataclass(frozen=True)
class Usage:
    """What a process uses.

    Attributes
    ----------
    cpu_percent : of one core, over its life.
    frozen : stopped by a signal (SIGSTOP) or a debugger.
    """

    uptime_seconds: float
    cpu_percent: float
    rss_bytes: int
    threads: int
    frozen: bool


def usage(pid: int) -> Usage | None:
    """Read /proc/PID/stat (proc(5)); None for no such process.

    Raises
    ------
    UnseenError : it is there, and hidden.
    """
    fields = stat_fields(pid)  # fields[0] is field 3, the state
    if fields is None:
        return None
    ticks = os.sysconf("SC_CLK_TCK")
    uptime = max(time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / ticks, 0.0)
    busy = (int(fields[11]) + int(fields[12])) / ticks
    return Usage(
        uptime_seconds=round(uptime, 2),
        cpu_percent=round(100 * busy / max(uptime, 1 / ticks), 1),
        rss_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        threads=int(fields[17]),
        frozen=fields[0] in "Tt",
    )


def parent(pid: int) -> int | None:
    """Give the pid of a process's parent; None for no such process.

    Raises
    ------
    UnseenError : it is there, and hidden.
    """
    fields = stat_fields(pid)
    return None if fields is None else int(fields[1])


def environ(pid: int) -> frozenset[str]:
    """Give the environment that a process was started with, as `NAME=value`; empty for one that is gone.

    Its main thread may have ended: any other one has the same environment.

    Raises
    ------
    PermissionError : it is another user's.
    """
    found, denied = frozenset[str](), None
    try:
        found = _environ(f"/proc/{pid}")
    except PermissionError as error:  # so it is, too, of one's own process whose main thread has ended
        denied = error
    with suppress(FileNotFoundError, ProcessLookupError):
        threads = [] if found else os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
        for thread in threads:
            with suppress(PermissionError):
                found = found or _environ(f"/proc/{pid}/task/{thread}")
    if denied is not None and not found:
        raise denied
    return found


def _environ(folder: str) -> frozenset[str]:
    try:
        text = Path(f"{folder}/environ").read_text(errors="surrogateescape")
    except (FileNotFoundError, ProcessLookupError):  # ended, if only this thread
        return frozenset()
    return frozenset(text.split("\0")) - {""}
