"""Pidfiles: line 1 the pid, as `kill $(head -1 pidfile)` wants it, line 2 the process's identity as JSON.

The owner of the slot writes it for people, scripts and foreign tools; the lock, not this file,
decides who owns the slot.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from ops.core.identity import Identity
from ops.core.records import asdict, dataclass
from ops.core.regular import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True)
class PidRecord:
    """What a pidfile says.

    Attributes
    ----------
    pid : line 1.
    identity : of line 2; None in a pidfile that another tool wrote.
    release : the release the process was started from, empty where unknown.
    """

    pid: int
    identity: Identity | None = None
    release: str = ""

    def alive(self) -> bool:
        """Whether the process it names is proven to run; without an identity nothing is."""
        return self.identity is not None and self.identity.alive()


def parse(text: str) -> PidRecord | None:
    """Read a pidfile's text; None for anything that names no process (empty, garbage, pid 0 or below)."""
    first, _, rest = text.partition("\n")
    digits = first.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):
        return None
    pid = int(digits)
    if not 0 < pid < 2**22:  # PID_MAX_LIMIT of the kernel
        return None
    try:
        extra: Any = json.loads(rest)
        identity = Identity(pid=pid, start=int(extra["start"]), boot=str(extra["boot"]))
        return PidRecord(pid, identity, str(extra.get("release", "")))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return PidRecord(pid)


def read(path: Path) -> PidRecord | None:
    """Read a pidfile; None for a missing one and for anything that names no process."""
    try:
        with os.fdopen(opened(path), errors="replace") as file:
            return parse(file.read(4096))
    except FileNotFoundError:
        return None


def write(path: Path, identity: Identity, *, release: str = "") -> None:
    """Write a pidfile whole or not at all: temporary file, fsync, rename.

    Raises
    ------
    OSError : the disk is full, the folder is not writable.
    """
    extra = {key: value for key, value in asdict(identity).items() if key != "pid"}
    write_whole(path, f"{identity.pid}\n{json.dumps({**extra, 'release': release})}\n")


def write_whole(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file's text whole or not at all; a reader never sees half of it.

    Parameters
    ----------
    durable : also survive a power cut (fsync before the rename).

    Raises
    ------
    OSError : the disk is full, the folder is not writable; nothing is left over then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with suppress(FileNotFoundError):
            temporary.unlink()
        with temporary.open("x") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        raise


def remove(path: Path, pid: int) -> None:
    """Remove a pidfile if it still names `pid`; another process's stays."""
    record = read(path)
    if record is not None and record.pid == pid:
        path.unlink(missing_ok=True)
