"""A process given from one manager to another: stopped through the one that keeps it, started through the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ops.core.protocol import Event, ProcessReport, ProcessSpec, Request
from ops.node import inspection
from ops.node.keeper import keeper_of
from ops.node.managers import Manager, manager_of


class Migration:
    """Migrates processes to the manager that the request names; from whichever one keeps each of them now.

    So a second run goes on where the first was broken off: what has been migrated is left alone, what had been stopped
    is started.

    Parameters
    ----------
    manager : the new one.
    emit : told what happens as it happens.
    """

    def __init__(self, request: Request, manager: Manager, emit: Callable[[Event], None]) -> None:
        self._kept = request.keeping
        self._lines = request.lines
        self._new = manager
        self._emit = emit

    def migrate(self, spec: ProcessSpec) -> ProcessReport:
        """Give one process to the new manager; one that it cannot start goes back to the old one."""
        pid = inspection.report(spec, inspection.asker(spec)).pid
        if pid is None:
            return self._new.start(spec)
        kind = keeper_of(self._kept, spec.name, pid)
        if kind == self._kept.kind:
            return replace(self._new.status(spec), message=f"{kind} keeps it already")
        old = manager_of(replace(self._kept, kind=kind), self._emit, lines=self._lines)
        began = time.monotonic()
        stopped = old.stop(spec)
        if not stopped.ok:
            return replace(stopped, message=f"{kind} could not stop it: {stopped.message}")
        now = time.monotonic()
        started = self._new.start(spec)
        timings = {"stop": round(now - began, 4), "start": round(time.monotonic() - now, 4)}
        if started.ok:
            text = f"from {kind} to {self._kept.kind}: {stopped.message}; {started.message}"
            return replace(started, message=text, timings=timings)
        back = old.start(spec)
        text = f"{self._kept.kind} could not start it: {started.message}; back to {kind}: {back.message}"
        return replace(back, ok=False, message=text, log=started.log, timings=timings)
