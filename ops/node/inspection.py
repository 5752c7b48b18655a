"""How a slot is, without changing or waiting for anything: no lock is taken, nothing is written.

The kernel's word (who holds the owner byte) comes first, then identities that the pidfile or the
agent's record name and that are proven to run; then what the consumer says of itself; then what the
agent noted.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ops.core import deaths, pidfile
from ops.core.deaths import Deaths
from ops.core.handover import HANDING_OVER
from ops.core.identity import Identity, UnseenError, boot_id
from ops.core.locks import Byte, holder_of
from ops.core.protocol import ProcessReport, ProcessSpec, Request
from ops.core.records import dataclass
from ops.core.regular import opened
from ops.core.states import State
from ops.node import procfs
from ops.node.location import located
from ops.node.occupancy import slot_of
from ops.node.record import Intent, Phase, SlotRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ALIVE_SECONDS = 1.0  # how long a process that cannot say READY=1 has to live to count as started
_STATUS_BYTES = 1 << 20
_WORDS = {
    "starting": State.STARTING,
    "standby": State.STANDBY,
    "running": State.RUNNING,
    HANDING_OVER: State.RUNNING,
    "draining": State.STOPPING,
    "stopping": State.STOPPING,
}
DRAINING = frozenset(word for word, state in _WORDS.items() if state is State.STOPPING)

_FROZEN = "frozen by a signal: kill -CONT it, or stop it"

Ask = Callable[[Byte], "int | None"]


def asker(spec: ProcessSpec) -> Ask:
    """Give the question after a byte's holder for a process that has no `SlotLock` on the slot."""
    return partial(holder_of, Path(spec.files.lock))


@dataclass(frozen=True)
class Finding:
    """What was found of a slot.

    Attributes
    ----------
    process : the living owner.
    busy : the pid of an agent that is starting or stopping it.
    replacing : the pid of a replacement that is under way.
    pidfile_left : there is a pidfile, whatever it says.
    """

    process: Identity | None
    busy: int | None
    replacing: int | None
    pidfile_left: bool
    pid_record: pidfile.PidRecord | None
    record: SlotRecord
    deaths: Deaths
    consumer: dict[str, object] | None

    @property
    def noted(self) -> bool:
        """Whether the record speaks of the living owner: by its identity, or as the one that is being spawned."""
        spawning = self.record.phase is Phase.STARTING and self.record.process is None
        return self.process is not None and (spawning or self.record.process == self.process)

    @property
    def restarts(self) -> int:
        """Starts since the slot was first used, less one: the agent's, and those of whoever keeps the process."""
        return max(self.record.starts - 1, 0) + self.deaths.restarts

    def looping(self, uptime_seconds: float = 0.0) -> int:
        """Give how often it was restarted after a death lately, 0 where that is no crash loop (any more)."""
        settled = self.noted and self.record.phase is Phase.READY and uptime_seconds >= deaths.QUIET_SECONDS
        recent = self.deaths.recent()
        return recent if recent >= deaths.LIMIT and not settled else 0


def find(spec: ProcessSpec, ask: Ask) -> Finding:
    """Look at a slot.

    Raises
    ------
    OSError : one of its files cannot be read.
    UnseenError : somebody has the slot, and nobody can tell more.
    """
    pid_path = Path(spec.files.pidfile)
    busy = ask(Byte.OPERATION)
    replacing = ask(Byte.REPLACING)
    process = _owner(ask)
    if process is not None and slot_of(process.pid) not in ("", spec.name):
        process = None  # another slot's process, in a lock that an older version named
    pid_record = pidfile.read(pid_path)
    record = SlotRecord.read(Path(spec.files.record))
    for named in (pid_record.identity if pid_record else None, record.process):
        if process is None and named is not None and named.alive() and slot_of(named.pid) in ("", spec.name):
            process = named
    consumer = _consumer(Path(spec.files.status), process) if process else None
    if process is not None and replacing == process.pid:
        replacing = None  # it is through
    died = Deaths.read(Path(spec.files.deaths))
    return Finding(process, busy, replacing, pid_path.exists(), pid_record, record, died, consumer)


def _owner(ask: Ask) -> Identity | None:
    """Give the process that holds the slot; None for nobody."""
    last = None
    while (holder := ask(Byte.OWNER)) is not None:
        if holder <= 0:
            raise UnseenError(f"the slot's owner lives in another pid namespace (fcntl says {holder})")
        process = Identity.of(holder)
        if process is not None:
            return process
        if holder == last:  # a lock goes before its process does
            raise UnseenError(f"process {holder} has the slot, and is none of this pid namespace, or of this host")
        last = holder
    return None


def seen(spec: ProcessSpec, *, ok: bool = True, message: str = "") -> ProcessReport:
    """Report how a slot is, in whichever files its process lives; not for who operates on it."""
    try:
        spec = located(spec)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return ProcessReport(spec.name, State.UNKNOWN, ok=ok, message=message or reason)
    return report(spec, asker(spec), ok=ok, message=message)


def report(
    spec: ProcessSpec, ask: Ask, *, ok: bool = True, message: str = "", log: tuple[str, ...] = ()
) -> ProcessReport:
    """Report how a slot is; what cannot be read makes it unknown, with the reason.

    Parameters
    ----------
    message : what was done; without it the report says what is remarkable.
    """
    try:
        found = find(spec, ask)
        shown = found.process.pid if found.process else found.replacing
        usage = procfs.usage(shown) if shown is not None else None
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return ProcessReport(spec.name, State.UNKNOWN, ok=ok, message=message or reason, log=log)
    if usage is None:
        state, remark = _absent(spec, found)
        if state is State.DEAD and (count := found.looping()):
            remark = f"{remark}; {deaths.text(count)}"
        return ProcessReport(
            spec.name, state, ok=ok, message=message or remark, restarts=found.restarts, log=log,
            ended_seconds=_ended_seconds(found),
        )  # fmt: skip
    state, remark = _present(spec, found, usage) if found.process else _waiting(usage)
    if state is State.RUNNING and (count := found.looping(usage.uptime_seconds)):
        state, remark = State.CRASH_LOOPING, "; ".join(filter(None, (deaths.text(count), remark)))
    named = found.pid_record if found.pid_record and found.pid_record.pid == shown else None
    return ProcessReport(
        name=spec.name,
        state=state,
        pid=shown,
        ok=ok,
        message=message or remark,
        uptime_seconds=usage.uptime_seconds,
        cpu_percent=usage.cpu_percent,
        rss_bytes=usage.rss_bytes,
        threads=usage.threads,
        release=named.release if named else "",
        restarts=found.restarts,
        log=log,
        consumer=found.consumer,
        consumer_age_seconds=_age_seconds(found.consumer),
        frozen=usage.frozen,
        outdated=f"process {found.replacing} is to replace it" if found.process and found.replacing else "",
    )


def _ended_seconds(found: Finding) -> float | None:
    """Say how long ago the agent saw a process end; since the host's boot where none was ever started."""
    if found.pidfile_left or found.record.phase is not Phase.NONE:
        return None
    now = time.clock_gettime(time.CLOCK_BOOTTIME) if found.record.starts == 0 else time.time() - found.record.phase_at
    return round(max(now, 0.0), 1)


def current_release(request: Request) -> str:
    """Give the release that `current` leads to, named as a start would name it; empty where it leads nowhere."""
    folders = {spec.directory for spec in request.processes}
    folder = Path(os.path.realpath(folders.pop())) if len(folders) == 1 else None
    return folder.name if folder is not None and folder.is_dir() else ""


def _waiting(usage: procfs.Usage) -> tuple[State, str]:
    """Say how a replacement is whose partner is gone."""
    return State.STANDBY, _FROZEN if usage.frozen else "the process it was to replace is gone; it takes over"


def _present(spec: ProcessSpec, found: Finding, usage: procfs.Usage) -> tuple[State, str]:
    remark = _FROZEN if usage.frozen else ""
    if found.replacing is not None:
        remark = "; ".join(filter(None, (remark, f"process {found.replacing} is to replace it")))
    phase = found.record.phase if found.noted else Phase.NONE
    word = _WORDS.get(str(found.consumer["state"])) if found.consumer else None
    if phase is Phase.STOPPING and found.busy is not None:
        return State.STOPPING, remark
    if word is not None:
        return word, remark
    age = time.time() - found.record.phase_at
    if phase is Phase.STARTING:
        if found.busy is not None:
            return State.STARTING, remark
        # The agent that waited is gone and the command cannot speak for itself: only its age is left.
        limit = ALIVE_SECONDS if spec.readiness == "alive" else spec.start_timeout_seconds
        if usage.uptime_seconds <= limit:
            return State.STARTING, remark
        return State.RUNNING, remark or (
            "" if spec.readiness == "alive" else "its start was broken off: not proven ready"
        )
    if phase is Phase.STOPPING:
        if 0 <= age <= spec.stop_timeout_seconds:
            return State.STOPPING, remark
        return State.RUNNING, remark or "its stop was broken off: it has not ended"
    return State.RUNNING, remark


def _absent(spec: ProcessSpec, found: Finding) -> tuple[State, str]:
    record = found.record
    named = found.pid_record
    if record.phase is Phase.REPLACING and (named is None or named.identity == record.process):
        return State.DEAD, "its handover was broken off and nobody has the slot: start it"
    if not found.pidfile_left:
        if record.intent is Intent.UP and record.process is not None and record.last_exit:
            return State.DEAD, record.last_exit  # its start failed: nobody has asked for that
        if record.intent is Intent.UP:
            broken = "it ended by itself, or its start was broken off"
            return State.STOPPED, _failed(spec, record) if record.last_exit else broken
        left = [f"process {one.pid}" for one in record.left if one.alive()]
        return State.STOPPED, f"what it had started is left: {', '.join(left)}" if left else ""
    if named is None:
        return State.DEAD, "its pidfile names no process"
    if named.identity is None:
        return State.DEAD, f"its pidfile says {named.pid} without an identity: not proven to be it, left alone"
    if named.identity.boot != boot_id():
        return State.DEAD, f"process {named.pid} ended with the host's last boot"
    return State.DEAD, f"process {named.pid} is gone and left its pidfile"


def _failed(spec: ProcessSpec, record: SlotRecord) -> str:
    """Tell of a start that failed as of something past; nothing once `current` was made anew, and its cause with it."""
    try:
        if Path(spec.directory).is_symlink() and os.lstat(spec.directory).st_mtime > record.phase_at:
            return ""
        at = time.strftime(" at %Y-%m-%d %H:%M", time.localtime(record.phase_at))
    except (OSError, OverflowError, ValueError):  # the link has just gone; a time that is none
        at = ""
    return f"its last start failed{at}: {record.last_exit}"


def _age_seconds(said: dict[str, Any] | None) -> float | None:
    """Say how long ago a consumer wrote its record."""
    try:
        written = float(said["boot_seconds"]) if said else None
    except (KeyError, TypeError, ValueError):
        return None
    return None if written is None else round(max(time.clock_gettime(time.CLOCK_BOOTTIME) - written, 0.0), 1)


def _consumer(path: Path, process: Identity) -> dict[str, Any] | None:
    """Read what the consumer says of itself; believed only when it names the living process."""
    try:
        with os.fdopen(opened(path), "rb") as file:
            said: Any = json.loads(file.read(_STATUS_BYTES))
        if int(said["pid"]) == process.pid and int(said["start"]) == process.start and isinstance(said["state"], str):
            return dict(said)
    except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    return None
