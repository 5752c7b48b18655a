"""What a process leaves behind: found, and ended.

Every process is started as the leader of a session of its own, so its children carry its pid as their session id, and
the kernel gives that number to nobody else as long as one of them lives. Those that have made a session of their own
(`setsid`) carry its mark in their environment: the process's identity, so that it is of this one start alone. Those
that have neither (`env -i setsid`) are told by their parents, as long as it lives.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import starmap
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.identity import MARK_VARIABLE, Identity, UnseenError, boot_id, start_ticks
from ops.node import procfs
from ops.node.ending import wait
from ops.node.environment import STATUS_VARIABLE

_KILL_WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class Swept:
    """What was done to what a process had left.

    Attributes
    ----------
    ended, killed : how many processes; the killed ones are among them.
    left : those that could not be ended, each with the reason, where that is known.
    """

    ended: int = 0
    killed: int = 0
    left: Mapping[Identity, str] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = []
        if self.ended:
            parts.append(f"{self.ended} process{'es' if self.ended > 1 else ''} that it had started ended too")
            parts[0] += f", {self.killed} of them killed" if self.killed else ""
        if self.left:
            parts.append(f"what it had started is left: {', '.join(starmap(_described, self.left.items()))}")
        return "; ".join(parts)


def left_of(process: Identity, status_file: str = "", known: Collection[Identity] = ()) -> list[Identity]:
    """Find what is left of a process that has ended.

    Not this process and those it was started by: somebody may work from within what is being ended.

    Parameters
    ----------
    process : the session's leader.
    status_file : where nobody watched the leader end, its number may have been somebody else's session since; then of
        its session only processes count whose environment names this file.
    known : what was found before, and may be there still.
    """
    if process.boot != boot_id() or not _is_gone(process):
        return []
    spared = {process.pid, *_own_line()}
    trusted = _is_free(process.pid)
    found = [one for one in known if not _is_gone(one)]
    spared |= {one.pid for one in found}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if not name.isdigit() or int(name) in spared:
            continue
        with suppress(OSError):  # ended meanwhile, hidden, or another user's that is not of the session
            if (trusted and _is_of_session(int(name), process.pid, status_file)) or _is_marked(int(name), process):
                identity = Identity.of(int(name))
                found += [identity] if identity is not None else []
    return found


def below(process: Identity) -> set[Identity]:
    """Find the children of a living process and theirs, whatever sessions and environments they have.

    Not those that are another start's: a slot's own process, started from within.
    """
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208
        if name.isdigit():
            with suppress(OSError):  # hidden, so somebody else's
                children.setdefault(procfs.parent(int(name)) or 0, []).append(int(name))
    spared, todo, found = {*_own_line()}, [process.pid], set[Identity]()
    while todo:
        for pid in children.get(todo.pop(), ()):
            with suppress(OSError):
                identity = None if pid in spared or _is_anothers(pid, process) else Identity.of(pid)
                if identity is not None:
                    found.add(identity)
                    todo.append(pid)
    return found


def sweep(process: Identity, grace: Deadline, status_file: str = "", known: Collection[Identity] = ()) -> Swept:
    """End what is left of a process: TERM, KILL at the deadline, also to what has been started meanwhile.

    Parameters
    ----------
    status_file, known : see `left_of`.
    """
    seen: set[Identity] = set()
    killed: set[Identity] = set()
    refused: dict[Identity, str] = {}
    found = left_of(process, status_file, known)
    for one in found:
        _send(one, signal.SIGTERM)
    _await(found, grace)
    seen.update(found)
    deadline = Deadline(_KILL_WAIT_SECONDS)
    while found and (found := left_of(process, status_file, known)) and not deadline.expired:
        seen.update(found)
        refused = {one: _send(one, signal.SIGKILL) for one in found}
        sent = [one for one in found if not refused[one]]
        killed.update(sent)
        _await(sent, deadline)
        if not sent:
            break
    left = {one: refused.get(one, "") for one in found}
    return Swept(len(seen - left.keys()), len(killed - left.keys()), left)


def _is_gone(process: Identity) -> bool:
    try:
        return not process.alive()
    except UnseenError:
        return False


def _is_free(pid: int) -> bool:
    """Whether nobody has a number: a session of that number is still the former leader's then."""
    try:
        return start_ticks(pid) is None
    except UnseenError:
        return False


def _is_of_session(pid: int, leader: int, status_file: str) -> bool:
    if os.getsid(pid) != leader:
        return False
    return not status_file or f"{STATUS_VARIABLE}={status_file}" in procfs.environ(pid)


def _is_marked(pid: int, process: Identity) -> bool:
    """Whether a process has inherited the mark; those of other users show theirs to root alone."""
    if os.geteuid() not in (0, Path(f"/proc/{pid}").stat().st_uid):
        return False
    return process.mark in procfs.environ(pid)


def _is_anothers(pid: int, process: Identity) -> bool:
    """Whether a process has the mark of another start."""
    marks = {one for one in procfs.environ(pid) if one.startswith(f"{MARK_VARIABLE}=")}
    return bool(marks - {process.mark})


def _own_line() -> Iterator[int]:
    """Give this process, and those above it."""
    pid = os.getpid()
    while pid > 0:
        yield pid
        try:
            pid = procfs.parent(pid) or 0
        except UnseenError:
            return


def _await(processes: list[Identity], deadline: Deadline) -> None:
    for process in processes:
        with suppress(UnseenError):
            wait(process, deadline)


def _send(process: Identity, number: signal.Signals) -> str:
    """Send a signal; gives why it could not be sent."""
    try:
        process.send(number)
    except OSError as error:
        return str(error)
    return ""


def _described(process: Identity, why: str) -> str:
    try:
        name = Path(f"/proc/{process.pid}/comm").read_text(errors="replace").strip()
    except OSError:
        name = "?"
    return f"process {process.pid} ({name})" + (f": {why}" if why else "")
