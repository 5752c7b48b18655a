"""The fleet: which hosts and processes, in which order, over which transport.

`on_hosts` is for users' own tasks in a fabfile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ops.fleet.tasks.own_tasks import on_hosts

__all__ = ["on_hosts"]


def __getattr__(name: str) -> Any:
    """Import what users take from here when they do: all modules of this package come through it."""
    if name == "on_hosts":
        from ops.fleet.tasks.own_tasks import on_hosts

        return on_hosts
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
