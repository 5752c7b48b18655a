"""The fence: the highest lease number that this host has seen, and no work under a lower one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ops.core.errors import LockHeldError, OpsError
from ops.core.lease import HIGHEST_NUMBER, Fence
from ops.node import durable
from ops.node.turn import Permit, unbound

FOLDER = "tmp"  # below shared/


class FenceRecord:
    """The highest lease number that this host's agent was asked under.

    Parameters
    ----------
    shared : the application's shared folder.
    """

    def __init__(self, shared: Path) -> None:
        self._path = shared / FOLDER / "lease-seen.json"

    def read(self) -> Fence:
        """Give it; number 0 before the first, and where the file is damaged: then the next request mends it."""
        found = durable.read(self._path, Fence, Fence(0, ""), Fence(0, ""))
        return found if found.number <= HIGHEST_NUMBER else Fence(0, "")

    def admit(self, fence: Fence) -> str:
        """Note a lease that something is asked under.

        A disk that is full keeps nobody from working: the text says so.

        Returns
        -------
        What went wrong while it was noted, empty for nothing.

        Raises
        ------
        LockHeldError : a higher number was seen; nothing may be done.
        """
        if self.check(fence) == fence.number:
            return ""
        try:
            with durable.locked(self._path):
                self.check(fence)
                durable.write(self._path, fence)
        except LockHeldError:
            raise
        except OpsError as error:
            return f"the lease's number could not be noted: {error.what}"
        return ""

    def check(self, fence: Fence) -> int:
        """Look whether the lease still stands here.

        Returns
        -------
        The highest number that was seen.

        Raises
        ------
        LockHeldError : a higher number was seen; nothing may be done.
        """
        seen = self.read()
        if seen.number > fence.number:
            raise LockHeldError(
                f"your lease (number {fence.number}) was taken over by {seen.holder} (number {seen.number})",
                hint="nothing was done here; look at what they did (fab karafka.history), and start again; "
                "if nobody has that lease, as after a clock that was wrong: fab karafka.unlock",
            )
        return seen.number


def permit_of(shared: str, fence: Fence | None) -> Permit:
    """Give what tells whether something may still be begun on this host under a lease; None for under none."""
    return unbound if fence is None else partial(FenceRecord(Path(shared)).check, fence)
