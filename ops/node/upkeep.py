"""What the agent does about the manager of the processes, not to them: look, install, uninstall, start at boot."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ops.core import keeping
from ops.core.errors import OpsError
from ops.core.protocol import ProcessReport, Request, Response, Verb
from ops.node import superfluous, turn
from ops.node.managers.pidfile import PidfileManager
from ops.node.turn import Permit

_LOCK = "tmp/install.lock"  # below shared/
_LOCK_SECONDS = 60.0


def upkeep(request: Request, permit: Permit) -> Response:
    """Do what is asked; of what changes something, one thing at a time.

    How processes are is told by their slots, whoever keeps them: a manager that does not answer must not keep anybody
    from mending it.

    Raises
    ------
    LockHeldError : the lease has gone.
    OpsError : it could not be done.
    """
    reports = partial(_reports, request)
    if request.verb is Verb.FACTS:
        from ops.node.facts import gather

        assert request.facts is not None
        return Response((), facts=gather(request, request.facts, reports()))
    with turn.alone(Path(request.shared) / _LOCK, "what is installed", _LOCK_SECONDS, permit):
        return _change(request, reports)


def _change(request: Request, reports: Callable[[], tuple[ProcessReport, ...]]) -> Response:
    if request.verb is Verb.INSTALL:
        from ops.node.installing import install

        assert request.install is not None
        return Response((), installed=install(request, request.install, reports))
    if request.verb is Verb.UNINSTALL:
        from ops.node.installing import uninstall

        return Response((), installed=uninstall(request, reports))
    from ops.node import boot

    if request.keeping.kind != keeping.SYSTEMD:
        raise OpsError(f"nothing starts with the host by {request.keeping.kind}")
    return Response((), installed=(boot.enable if request.verb is Verb.ENABLE else boot.disable)(request))


def _reports(request: Request) -> tuple[ProcessReport, ...]:
    slots = PidfileManager()
    return (*slots.statuses(request.processes), *superfluous.reports(request, slots))
