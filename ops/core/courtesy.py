"""Courtesy: the tool's own work on a host yields the CPU to the consumers that it looks after."""

from __future__ import annotations

import contextlib
from pathlib import Path

_NICE = 10
_AUTOGROUP = Path("/proc/self/autogroup")


def yield_cpu() -> None:
    """Let this session's processes have the CPU after others; those that it starts in sessions of their own don't.

    Where the kernel schedules by session (sched(7), "The autogroup feature"), the nice value of a process counts within
    its session alone, and this one among sessions. Elsewhere nothing changes: a nice value of its own would be handed
    down to every consumer that is started from here.
    """
    with contextlib.suppress(OSError):
        _AUTOGROUP.write_text(f"{_NICE}\n")
