"""A lease that a deploy's hooks inherit: what a hook starts works under it, and neither takes nor gives back one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from types import TracebackType

from ops.core.errors import UnreachableError
from ops.core.lease import Fence, LeaseInfo
from ops.core.settings import Settings
from ops.fleet.lease import Held, Lease, LeaseLostError
from ops.fleet.lease_host import LeaseHost

VARIABLE = "KARAFKA_LEASE"


def text_of(settings: Settings, fence: Fence) -> str:
    """Give what KARAFKA_LEASE says: of which application and stage, its number and holder."""
    return f"{settings.application}/{settings.stage} {fence.number} {fence.holder}"


def lease_of(
    settings: Settings,
    keeper: LeaseHost,
    reason: str,
    *,
    wait_seconds: float = 0.0,
    say: Callable[[str], None] = lambda _: None,
    environ: Mapping[str, str] = os.environ,
) -> Held:
    """Give the lease that a command works under: the one it has inherited for this very stage, else one of its own."""
    place, _, rest = environ.get(VARIABLE, "").partition(" ")
    number, _, holder = rest.partition(" ")
    if place == f"{settings.application}/{settings.stage}" and re.fullmatch(r"[0-9]{1,18}", number):
        return InheritedLease(keeper, Fence(int(number), holder), reason)
    return Lease(keeper, reason, wait_seconds=wait_seconds, say=say)


class InheritedLease:
    """The lease of the deploy that this command is a hook of: a context manager, as `Lease` is.

    Raises
    ------
    LeaseLostError : on entering: it does not stand any more.
    UnreachableError : on entering: the host that keeps it cannot be asked.
    """

    def __init__(self, keeper: LeaseHost, fence: Fence, reason: str) -> None:
        self.fence = fence
        self.reason = reason
        self.run = ""
        self._keeper = keeper

    def __enter__(self) -> InheritedLease:
        self.run = self._require().run
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave it to whoever has it."""

    @property
    def number(self) -> int:
        """Its number."""
        return self.fence.number

    def check(self) -> None:
        """Make sure that it still stands, before the next step.

        Raises
        ------
        LeaseLostError : it does not.
        UnreachableError : nobody can tell.
        """
        self._require()

    def _require(self) -> LeaseInfo:
        try:
            found = self._keeper.show().lease
        except UnreachableError:  # one connection that hangs, or has been cut, is no answer
            found = self._keeper.apart().show().lease
        if not found.held or (found.number, found.holder) != (self.fence.number, self.fence.holder):
            raise LeaseLostError(
                f"the lease of the deploy that this is a hook of (number {self.number}) does not stand any more",
                where=self._keeper.target.name,
                hint=f"nothing more was begun; outside of a hook, unset {VARIABLE}",
            )
        return found
