"""Who belongs to a sandbox: known by pidfiles with an identity and by the mark in the environment, never by name."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

import psutil

from ops.core import pidfile
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.sandbox.daemon import MARKER, Daemon, end

_ROUNDS = 10


def members(directory: Path) -> list[Identity]:
    """Find every living process of the sandbox in `directory`, or in a folder below it.

    That is: whoever a pidfile there names, whoever carries the mark of such a folder (consumers started
    on its hosts too), and the descendants of all of these. This process and its ancestors are no members.
    """
    directory = directory.absolute()
    named = (pidfile.read(path) for path in directory.rglob("*.pid"))
    found = {one.pid for one in named if one is not None and one.alive()}
    found |= {one.pid for one in psutil.process_iter() if _carries_mark(one, directory)}
    line = {os.getpid(), *(one.pid for one in psutil.Process().parents())}
    found -= line  # before their descendants are counted: not all that this process has started belongs here
    found |= _descendants(found)
    found -= line
    identities = (Identity.of(pid) for pid in sorted(found))
    return [one for one in identities if one is not None]


def end_all(directory: Path, timeout_seconds: float) -> int:
    """End every process of the sandbox: TERM, wait, KILL; again for those that were started meanwhile.

    Returns
    -------
    How many there were.

    Raises
    ------
    OpsError : new ones keep coming, or one can't be ended.
    """
    count = 0
    for _ in range(_ROUNDS):
        found = members(directory)
        if not found:
            return count
        end(found, timeout_seconds)
        count += len(found)
    raise OpsError("processes keep being started", where=str(directory), hint="who starts them? end that one first")


def guard(directory: Path, owner: Identity) -> Daemon:
    """Start the watchdog that ends the whole sandbox as soon as `owner` has ended, however it does."""
    argv = [sys.executable, "-m", "ops.sandbox.watchdog", str(owner.pid), str(owner.start), owner.boot, str(directory)]
    return Daemon.spawn("watchdog", argv, directory=directory.absolute())


def _carries_mark(process: psutil.Process, directory: Path) -> bool:
    try:
        mark = process.environ().get(MARKER)
    except (psutil.Error, OSError):  # ended, another user's, a kernel thread
        return False
    return mark is not None and Path(mark).is_relative_to(directory)


def _descendants(pids: Iterable[int]) -> set[int]:
    found = set()
    for pid in pids:
        try:
            found |= {one.pid for one in psutil.Process(pid).children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    return found
