"""Byte locks: who owns a slot is the kernel's word.

One lock file a slot, never unlinked or replaced. POSIX record locks (fcntl(2)) rather than
flock: they end with their process even where a forked child lives on, and F_GETLK names the
holder. Their price: closing *any* descriptor of the file drops all of the process's locks on
it, hence at most one `SlotLock` a file and process, and `holder_of` asks through it where there is one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from enum import IntEnum
from pathlib import Path
from threading import Lock
from types import TracebackType

from ops.core.deadline import Deadline
from ops.core.regular import opened

DESCRIPTOR_VARIABLE = "KARAFKA_SLOT_FD"
_OPEN: dict[str, int] = {}  # descriptors of the lock files that this process has open
_GUARD = Lock()
_NAME_BYTES = 256
_FLOCK = struct.Struct("hhqqi4x")  # struct flock on 64 bit Linux: type, whence, start, length, pid


class Byte(IntEnum):
    """What each byte of a slot's lock file stands for."""

    OWNER = 0  # the process that has the slot
    REPLACING = 1  # a replacement is under way
    WARM = 2  # the replacement is warm
    OPERATION = 3  # an agent is starting or stopping it


class SlotLock:
    """The lock file of one slot, opened once.

    Parameters
    ----------
    path : the lock file; made with its folder where missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with _GUARD:
            self._descriptor = opened(path, os.O_RDWR | os.O_CREAT, 0o644)
            _OPEN[os.path.realpath(path)] = self._descriptor

    @classmethod
    def adopt(cls, path: Path, descriptor: int) -> SlotLock:
        """Take over the descriptor that this process inherited over exec, with the locks it holds."""
        lock = cls.__new__(cls)
        lock.path = path
        lock._descriptor = descriptor
        _OPEN[os.path.realpath(path)] = descriptor
        os.set_inheritable(descriptor, False)
        return lock

    def __enter__(self) -> SlotLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; every lock this process holds on it is dropped."""
        with _GUARD:
            _OPEN.pop(os.path.realpath(self.path), None)
            os.close(self._descriptor)

    def keep_over_exec(self) -> int:
        """Let the descriptor, and so the locks, survive exec; gives its number."""
        os.set_inheritable(self._descriptor, True)
        return self._descriptor

    def try_take(self, byte: Byte) -> bool:
        """Take a byte without waiting; False when another process holds it."""
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return False
            raise
        return True

    def take(self, byte: Byte, deadline: Deadline) -> bool:
        """Take a byte, waiting until the deadline; False when it passed."""
        return deadline.poll(lambda: self.try_take(byte))

    def release(self, byte: Byte) -> None:
        """Release a byte; one that is not held is left as it is."""
        fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, byte)

    def name(self, text: str) -> None:
        """Write into the file whose slot it is, for whoever cannot ask its owner."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)

    def holder(self, byte: Byte) -> int | None:
        """Give the pid of the *other* process that holds a byte; None for nobody."""
        return _holder(self._descriptor, byte)


def holder_of(path: Path, byte: Byte) -> int | None:
    """Give the pid of the *other* process that holds a byte of a lock file; a missing file stays missing."""
    with _GUARD:
        known = _OPEN.get(os.path.realpath(path))
        if known is not None:
            return _holder(known, byte)
        try:
            descriptor = opened(path)
        except FileNotFoundError:
            return None
        try:
            return _holder(descriptor, byte)
        finally:
            os.close(descriptor)


def name_in(path: Path) -> str:
    """Read whose slot a lock file is, see `SlotLock.name`; empty where nobody has written it."""
    with _GUARD:
        known = _OPEN.get(os.path.realpath(path))
        descriptor = opened(path) if known is None else known
        try:
            return os.pread(descriptor, _NAME_BYTES, 0).decode(errors="replace").strip()
        finally:
            if known is None:
                os.close(descriptor)


def _holder(descriptor: int, byte: Byte) -> int | None:
    question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    answer = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
    return None if answer[0] == fcntl.F_UNLCK else int(answer[4])
