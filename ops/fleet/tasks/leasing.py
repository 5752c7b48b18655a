"""The stage's lease, as tasks take it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from invoke.context import Context

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


def hold(
    context: Context, settings: Settings, transport: Transport, reason: str, lock_wait: int, say: Callable[[str], None]
) -> Held:
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
    from ops.fleet.tasks.project import make_transport

    check_wait(lock_wait)
    keeper = lease_host(settings, transport, partial(make_transport, context, settings))
    return lease_of(settings, keeper, reason, wait_seconds=lock_wait, say=say)
