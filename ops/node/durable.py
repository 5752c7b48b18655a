"""Small files of one record each that survive everything: replaced whole, on the disk before anybody is told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.core import pidfile
from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.decoding import decode
from ops.core.errors import OpsError
from ops.core.locks import Byte, SlotLock
from ops.core.records import asdict
from ops.core.regular import content_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")

_LOCK_SECONDS = 10.0  # others hold it for as long as one small file takes to reach the disk


def read(path: Path, kind: type[T], missing: T, damaged: T | None) -> T:
    """Read a file.

    Parameters
    ----------
    missing, damaged : what stands for a file that is not there, that is no record; None makes that an error.
    """
    try:
        return decode(kind, json.loads(content_of(path)))
    except FileNotFoundError:
        return missing
    except (ValueError, RecursionError) as error:
        if damaged is not None:
            return damaged
        raise OpsError(
            f"the file that keeps the lease is damaged: {error}",
            where=str(path),
            hint="make sure that nobody is at work on this stage, then: fab karafka.unlock",
        ) from error
    except OSError as error:
        raise OpsError(f"cannot be read: {error.strerror}", where=str(path)) from error


def write(path: Path, record: Any) -> None:
    try:
        pidfile.write_whole(path, json.dumps(asdict(record)) + "\n")
        sync_folder(path.parent)  # the rename too: a number that was given out must not come back after a power cut
    except OSError as error:
        raise OpsError(f"cannot be written: {error.strerror}; nothing was changed", where=str(path)) from error


def sync_folder(path: Path) -> None:
    """Let a rename in a folder survive a power cut."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Be the only one to change a file."""
    try:
        lock = SlotLock(path.with_suffix(".lock"))
    except OSError as error:
        raise OpsError(f"cannot be locked: {error.strerror}; nothing was changed", where=str(path)) from error
    with lock:
        if not lock.take(Byte.OWNER, Deadline(_LOCK_SECONDS)):
            holder = lock.holder(Byte.OWNER)
            raise OpsError(f"process {holder} has kept it locked for {in_seconds(_LOCK_SECONDS)}", where=str(path))
        yield
