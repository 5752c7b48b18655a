"""What a process leaves behind: the rest of its session, found and ended.

Every process is started as the leader of a session of its own, so its children carry its pid as
their session id, and the kernel gives that number to nobody else as long as one of them lives.
"""

from __future__ import annotations

import os

import psutil

from ops.core.deadline import Deadline
from ops.core.identity import Identity, boot_id, start_ticks
from ops.node.environment import STATUS_VARIABLE

_KILL_WAIT_SECONDS = 5.0


def left_of(process: Identity, status_file: str = "") -> list[psutil.Process]:
    """Find what is left of the session of a process that has ended.

    Parameters
    ----------
    process : the session's leader.
    status_file : where nobody watched the leader end, its number may have been somebody else's
        session since; then only processes count whose environment names this file.
    """
    if process.boot != boot_id() or start_ticks(process.pid) is not None:
        return []  # other boot, or the number is another living process's by now
    found = []
    for pid in psutil.pids():
        try:
            if pid == process.pid or os.getsid(pid) != process.pid:
                continue
            candidate = psutil.Process(pid)
            if candidate.status() == psutil.STATUS_ZOMBIE:
                continue
            if not status_file or candidate.environ().get(STATUS_VARIABLE) == status_file:
                found.append(candidate)
        except (psutil.Error, OSError):  # ended meanwhile, or somebody else's: not ours to end
            continue
    return found


def sweep(processes: list[psutil.Process], grace: Deadline) -> str:
    """End processes: TERM, KILL at the deadline. Gives what was done in words, empty for nothing to do.

    psutil proves each one's identity (pid and creation time) before it signals.
    """
    if not processes:
        return ""
    _signal(processes, kill=False)
    _, stubborn = psutil.wait_procs(processes, timeout=grace.remaining)
    _signal(stubborn, kill=True)
    _, left = psutil.wait_procs(stubborn, timeout=_KILL_WAIT_SECONDS)
    count = f"{len(processes)} process{'es' if len(processes) > 1 else ''} of its session"
    text = f"{count} ended too" + (f", {len(stubborn)} of them killed" if stubborn else "")
    return text + (f", {len(left)} not to be ended: {[one.pid for one in left]}" if left else "")


def _signal(processes: list[psutil.Process], *, kill: bool) -> None:
    for process in processes:
        try:
            process.kill() if kill else process.terminate()
        except psutil.Error:
            continue
