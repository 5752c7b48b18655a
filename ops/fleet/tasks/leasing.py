"""The stage's lease, as tasks take it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ops.core.settings import Settings
    from ops.fleet.lease import Held
    from ops.fleet.transport import Transport

_LONGEST_SECONDS = 86_400


def check_wait(lock_wait: int) -> None:
    """Look whether anybody waits so long.

    Raises
    ------
    UsageError : nobody does.
    """
    from ops.core.errors import UsageError

    if not 0 <= lock_wait <= _LONGEST_SECONDS:
        raise UsageError(f"expected 0 to {_LONGEST_SECONDS} seconds, got {lock_wait}", where="--lock-wait")


def hold(settings: Settings, transport: Transport, reason: str, lock_wait: int, say: Callable[[str], None]) -> Held:
    """Give the stage's lease, to be entered: the one that a hook has inherited, else one of its own.

    Parameters
    ----------
    say : is told who is waited for.

    Raises
    ------
    UsageError : nobody waits so long.
    """
    from ops.fleet.inherited_lease import lease_of
    from ops.fleet.lease_host import lease_host

    check_wait(lock_wait)
    return lease_of(settings, lease_host(settings, transport), reason, wait_seconds=lock_wait, say=say)
