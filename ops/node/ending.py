"""Ending one process: TERM, wait, KILL, then what it has left."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Collection

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.identity import Identity, UnseenError, pidfd_of
from ops.core.records import dataclass, replace
from ops.node import procfs

KILL_WAIT_SECONDS = 5.0
_SWEEP_SECONDS = 1.0

Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Ending:
    """How a process ended.

    Attributes
    ----------
    gone : proven to have ended.
    how : in words.
    swept : what was done to what it had left, in words.
    left : of that, what could not be ended.
    unknown : nobody can tell whether it has ended.
    """

    gone: bool
    how: str
    swept: str = ""
    left: tuple[Identity, ...] = ()
    unknown: bool = False

    def __str__(self) -> str:
        return f"{self.how}; {self.swept}" if self.swept else self.how


def exit_text(code: int) -> str:
    """Say how a process ended, after its exit code; negative for a signal."""
    return f"exited with {code}" if code >= 0 else f"was ended by signal {-code} ({signal.strsignal(-code)})"


def end(process: Identity, timeout_seconds: float, say: Say, *, asked: bool = False) -> Ending:
    """End a process and what it has started.

    Parameters
    ----------
    timeout_seconds : how long it may take after TERM.
    say : told the steps: step and detail.
    asked : it drains already; a second TERM would break that off.
    """
    from ops.node import session

    deadline = Deadline(timeout_seconds)
    began = time.monotonic()
    try:
        started = session.below(process)
        if asked:
            say("waiting", f"process {process.pid} drains already")
        elif process.send(signal.SIGTERM):
            say("asked to stop", f"TERM to process {process.pid}")
        if wait(process, deadline):
            how = f"ended after {time.monotonic() - began:.1f} s"
        else:
            usage = procfs.usage(process.pid)
            why = "it was frozen" if usage and usage.frozen else "it did not end on TERM"
            say("killed", f"{why} within {in_seconds(timeout_seconds)}")
            started |= session.below(process)
            process.send(signal.SIGKILL)
            if not wait(process, Deadline(KILL_WAIT_SECONDS)):
                return Ending(False, f"process {process.pid} is still there {in_seconds(KILL_WAIT_SECONDS)} after KILL")
            how = f"killed after {time.monotonic() - began:.1f} s: {why}"
    except UnseenError as error:
        return Ending(False, str(error), unknown=True)
    except PermissionError as error:
        return Ending(False, str(error))
    return sweep(Ending(True, how), process, deadline, say, started)


def sweep(ending: Ending, process: Identity, deadline: Deadline, say: Say, known: Collection[Identity] = ()) -> Ending:
    """End what is left of a process that has just ended; gives its ending with that.

    Parameters
    ----------
    known : what was below it while it lived.
    """
    from ops.node import session

    swept = session.sweep(process, Deadline(max(deadline.remaining, _SWEEP_SECONDS)), known=known)
    if str(swept):
        say("swept", str(swept))
    return replace(ending, swept=str(swept), left=tuple(swept.left))


def wait(process: Identity, deadline: Deadline) -> bool:
    """Wait until a process has ended; False when the deadline passed.

    Raises
    ------
    UnseenError : nobody can tell.
    """
    try:
        descriptor = pidfd_of(process.pid)
    except ProcessLookupError:
        return not process.alive()
    except UnseenError:
        return deadline.poll(lambda: not process.alive())
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        while process.alive():
            if not poll.poll(deadline.remaining * 1000) and deadline.expired:
                return not process.alive()
    finally:
        os.close(descriptor)
    return True
