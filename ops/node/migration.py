"""A process given from one manager to another: stopped through the one that keeps it, started through the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ops.core.errors import LockHeldError
from ops.core.protocol import Event, ProcessReport, ProcessSpec, Request
from ops.core.records import replace
from ops.core.states import State
from ops.node import inspection
from ops.node.keeper import keeper_of
from ops.node.managers import Manager, manager_of
from ops.node.record import SlotRecord
from ops.node.startable import trouble
from ops.node.turn import Permit


class Migration:
    """Migrates processes to the manager that the request names; from whichever one keeps each of them now.

    So a second run goes on where the first was broken off: what has been migrated is left alone, what had been stopped
    is started.

    Parameters
    ----------
    emit : told what happens as it happens.
    permit : says whether one may still begin; what has begun is finished, unless somebody else was at it meanwhile.
    """

    def __init__(self, request: Request, emit: Callable[[Event], None], permit: Permit) -> None:
        self._kept = request.keeping
        self._lines = request.lines
        self._emit = emit
        self._permit = permit

    def migrate(self, spec: ProcessSpec) -> ProcessReport:
        """Give one process to the new manager; one that it cannot start goes back to the old one."""
        report = inspection.seen(spec)
        if report.state is State.UNKNOWN:
            return replace(report, ok=False, message=f"nothing was done: {report.message}")
        if report.pid is None:
            return self._manager(self._kept.kind, self._permit).start(spec)
        try:
            kind = keeper_of(self._kept, spec.name, report.pid)
        except OSError as error:
            what = f"nobody can tell who keeps process {report.pid}: {error}"
            return replace(report, ok=False, state=State.UNKNOWN, message=f"nothing was done: {what}")
        if kind == self._kept.kind:
            return replace(self._manager(kind, self._permit).status(spec), message=f"{kind} keeps it already")
        reason = trouble(spec, self._kept.kind)
        if reason:
            new = self._manager(self._kept.kind, self._permit)
            return replace(new.status(spec), ok=False, message=f"{reason}; nothing was done")
        old = self._manager(kind, self._permit)
        began = time.monotonic()
        stopped = old.stop(spec)
        if not stopped.ok:
            return replace(stopped, message=f"{kind} could not stop it: {stopped.message}")
        now = time.monotonic()
        record = Path(spec.files.record)
        started = self._manager(self._kept.kind, self._finishing(record)).start(spec)
        timings = {"stop": round(now - began, 4), "start": round(time.monotonic() - now, 4)}
        if started.ok:
            text = f"from {kind} to {self._kept.kind}: {stopped.message}; {started.message}"
            return replace(started, message=text, timings=timings)
        back = self._manager(kind, self._finishing(record)).start(spec)
        text = f"{self._kept.kind} could not start it: {started.message}; back to {kind}: {back.message}"
        return replace(back, ok=False, message=text, log=started.log, timings=timings)

    def _manager(self, kind: str, permit: Permit) -> Manager:
        return manager_of(replace(self._kept, kind=kind), self._emit, permit=permit, lines=self._lines)

    def _finishing(self, path: Path) -> Permit:
        """Give what permits the rest of what has begun: no slot is left empty because the lease has gone in between."""
        left = SlotRecord.read(path)

        def permit() -> None:
            try:
                self._permit()
            except LockHeldError:
                if SlotRecord.read(path) != left:
                    raise

        return permit
