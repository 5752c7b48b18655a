"""Start with the host, or not: the units and their target, and linger for a user's own."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.installation import InstallAnswer
from ops.core.protocol import Request
from ops.node import facts
from ops.node.command import run
from ops.node.systemctl import Systemctl

_SECONDS = 60.0


def enable(request: Request) -> InstallAnswer:
    """Let the units start with the host; a user's own need linger for that.

    Raises
    ------
    OpsError : systemd or logind refuses.
    """
    kept = request.keeping
    units = _units(request, [spec.name for spec in request.processes])
    for unit in units:  # one by one, as the sudoers rules name them
        Systemctl(kept).run(("systemctl", "enable", unit), unit, Deadline(_SECONDS))
    notes = _linger() if kept.scope == "user" else ()
    return InstallAnswer(tuple(f"enabled: {unit}" for unit in units), (), notes)


def disable(request: Request, names: Iterable[str] | None = None, *, target: bool = True) -> InstallAnswer:
    """Let the units not start with the host; linger stays, as other units of the user may need it.

    Parameters
    ----------
    names : of the processes; those of the request without it.
    target : whether the target that they are part of is meant, too.

    Raises
    ------
    OpsError : systemd refuses.
    """
    kept = request.keeping
    units = _units(request, [spec.name for spec in request.processes] if names is None else names)
    units = units if target else units[1:]
    for unit in units:
        Systemctl(kept).run(("systemctl", "disable", unit), unit, Deadline(_SECONDS))
    return InstallAnswer(tuple(f"disabled: {unit}" for unit in units))


def _units(request: Request, names: Iterable[str]) -> tuple[str, ...]:
    return (request.keeping.target, *map(request.keeping.unit, names))


def _linger() -> tuple[str, ...]:
    user = pwd.getpwuid(os.getuid()).pw_name
    if facts.linger(user):
        return ()
    done = run(("loginctl", "enable-linger", user), as_root=True)
    if done.code == 0:
        return (f"linger is on for {user}: the units start with the host, not with a session",)
    raise OpsError(
        f"the units are enabled, but {user} has no linger: {done.why}",
        hint=f"as root: loginctl enable-linger {user}; without it they start and end with {user}'s sessions",
    )
