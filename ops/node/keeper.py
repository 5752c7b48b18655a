"""Who keeps a living process, by the kernel's word: whatever the settings say, and whoever started it."""

from __future__ import annotations

from pathlib import Path

from ops.core import keeping
from ops.core.keeping import Keeping

_ANCESTORS = 3  # the command, its wrapper, and one more


def keeper_of(kept: Keeping, process: str, pid: int) -> str:
    """Say which kind of manager keeps a process.

    A unit's processes are in its control group; what supervisord starts has its program's name in its environment
    (supervisor's documentation, "Subprocess Environment"). Everything else is a plain process.

    Parameters
    ----------
    kept : the application and its names, whatever its kind.
    """
    if not kept.application:
        return keeping.PIDFILE
    if kept.unit(process) in _read(pid, "cgroup").replace("\n", "/").split("/"):
        return keeping.SYSTEMD
    mark = f"SUPERVISOR_PROCESS_NAME={kept.program(process)}"
    for _ in range(_ANCESTORS):
        if pid <= 1:
            break
        if mark in _read(pid, "environ").split("\0"):
            return keeping.SUPERVISOR
        pid = _parent(pid)
    return keeping.PIDFILE


def _parent(pid: int) -> int:
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def _read(pid: int, name: str) -> str:
    """Read a file of a process; empty where it is gone, or another user's."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
