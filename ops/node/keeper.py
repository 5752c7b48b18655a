"""Who keeps a living process, by the kernel's word: whatever the settings say, and whoever started it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ops.core import keeping
from ops.core.keeping import Keeping
from ops.node import procfs

_ANCESTORS = 2  # its wrapper, and one more


def keeper_of(kept: Keeping, process: str, pid: int) -> str:
    """Say which kind of manager keeps a process.

    A unit's processes are in its control group; what supervisord starts has its program's name in its environment
    (supervisor's documentation, "Subprocess Environment"). Everything else is a plain process.

    Parameters
    ----------
    kept : the application and its names, whatever its kind.

    Raises
    ------
    UnseenError, PermissionError : nobody can tell: its entries in /proc are hidden, or another user's.
    """
    if not kept.application:
        return keeping.PIDFILE
    if kept.unit(process) in _groups(pid):
        return keeping.SYSTEMD
    mark = f"SUPERVISOR_PROCESS_NAME={kept.program(process)}"
    if mark in procfs.environ(pid):
        return keeping.SUPERVISOR
    for _ in range(_ANCESTORS):
        with suppress(OSError):  # one that is another user's is no wrapper of this process
            pid = procfs.parent(pid) or 0
            if pid <= 1:
                break
            if mark in procfs.environ(pid):
                return keeping.SUPERVISOR
    return keeping.PIDFILE


def _groups(pid: int) -> list[str]:
    """Give the names that a process's control groups are made of; none for one that is gone."""
    if procfs.parent(pid) is None:
        return []
    try:
        return Path(f"/proc/{pid}/cgroup").read_text(errors="replace").replace("\n", "/").split("/")
    except (FileNotFoundError, ProcessLookupError):
        return []
