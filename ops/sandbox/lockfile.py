"""Locks between processes; the kernel lets go of them with the process."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.errors import LockHeldError


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file, waiting for it as long as its holder lives; the file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def locked_directory(path: Path, deadline: Deadline) -> Iterator[None]:
    """Hold a folder itself, made where missing; its holder may remove it.

    Raises
    ------
    LockHeldError : somebody else still holds it at the deadline.
    """
    held = deadline.poll(lambda: _try_hold(path))
    if not held:
        raise LockHeldError("another command is working on it", where=str(path), hint="wait for it to end")
    try:
        yield
    finally:
        os.close(*held)


def _try_hold(path: Path) -> tuple[int, ...]:
    """Take the lock without waiting, on the folder that is at `path` now and not on one that was removed.

    Returns
    -------
    Its descriptor; alone, as that may be 0 where standard input is closed. Empty where somebody else holds the lock.
    """
    path.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return (descriptor,)
    os.close(descriptor)
    return ()
