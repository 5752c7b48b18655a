"""The one way in which an agent takes a lock: nobody who has waited for it works under a lease that has gone.

An agent that was admitted may wait for another one, or for its operator, until the lease is somebody else's. So the
lease is asked for once more inside of every lock, and each second that a lock is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.locks import Byte, SlotLock

LOOK_SECONDS = 1.0  # between two looks at the lease, while something is waited for

Permit = Callable[[], object]
"""Raises a LockHeldError where nothing may be begun any more; what it returns is of no matter."""


def unbound() -> None:
    """Permit everything: what is asked under no lease."""


def hold(
    path: Path,
    byte: Byte,
    seconds: float,
    permit: Permit,
    *,
    busy: Callable[[int | None], OpsError],
    waiting: Callable[[int], None] = lambda _: None,
) -> SlotLock:
    """Give a lock file of which a byte is held.

    Parameters
    ----------
    seconds : how long to wait for another agent.
    busy : makes the error where that is not enough, of its pid.
    waiting : is told whom it waits for.

    Raises
    ------
    LockHeldError : the lease has gone.
    OpsError : what `busy` makes.
    """
    lock, deadline = SlotLock(path), Deadline(seconds)
    try:
        holder = lock.holder(byte)
        if holder is not None:
            waiting(holder)
        while not lock.take(byte, Deadline(min(LOOK_SECONDS, deadline.remaining))):
            permit()
            if deadline.expired:
                raise busy(lock.holder(byte))
        permit()
    except BaseException:
        lock.close()
        raise
    return lock


@contextmanager
def alone(path: Path, what: str, seconds: float, permit: Permit) -> Iterator[None]:
    """Be the only agent at something: one whose operator has died may still be at work.

    Parameters
    ----------
    path : the lock file.
    what : what it is at, in words.

    Raises
    ------
    LockHeldError : the lease has gone.
    OpsError : another one is at it for too long.
    """

    def busy(holder: int | None) -> OpsError:
        return OpsError(f"process {holder} has been at work on {what} for {in_seconds(seconds)} and more")

    with hold(path, Byte.OWNER, seconds, permit, busy=busy):
        yield
