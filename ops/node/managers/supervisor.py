"""The supervisor manager: programs of a supervisord, one a process; see `ops.node.wrapper` for what runs in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ops.core.keeping import Keeping
from ops.core.protocol import Event, ProcessReport, ProcessSpec
from ops.node import inspection, outdated, oversight
from ops.node.managers.attempt import attempt
from ops.node.supervisord import Supervisord, SupervisorError
from ops.node.turn import Permit, unbound

if TYPE_CHECKING:
    from ops.node.supervised import SupervisedOperation


class SupervisorManager:
    """Starts and stops programs over XML-RPC; `Manager` says what its methods promise.

    At most one of its methods may be at work on a slot in one process (see `ops.core.locks`).

    Parameters
    ----------
    kept : whose programs, and the socket of supervisord.
    emit : told what happens as it happens.
    lines : how many log lines a failure shows.
    permit : says whether an operation may still begin, see `ops.node.turn`.
    """

    def __init__(
        self, kept: Keeping, emit: Callable[[Event], None], *, lines: int = 20, permit: Permit = unbound
    ) -> None:
        self._kept = kept
        self._emit = emit
        self._lines = lines
        self._permit = permit

    def status(self, spec: ProcessSpec) -> ProcessReport:
        """Report how a process is."""
        return self.statuses((spec,))[0]

    def statuses(self, specs: Sequence[ProcessSpec]) -> tuple[ProcessReport, ...]:
        """Report how several processes are; supervisord is asked once."""
        server = Supervisord.of(self._kept)
        try:
            programs, reason = server.programs(), ""
        except SupervisorError as error:
            programs, reason = {}, str(error)
        finally:
            server.close()
        reports = []
        for spec in specs:
            report = inspection.seen(spec)
            if reason:
                reports.append(oversight.unseen(report, reason))
            else:
                program = programs.get(self._kept.program(spec.name))
                reports.append(oversight.seen(report, spec, program, self._lines))
        return tuple(reports)

    def start(self, spec: ProcessSpec) -> ProcessReport:
        """Make it run and ready."""
        return self._operate(spec, lambda operation: operation.start())

    def stop(self, spec: ProcessSpec) -> ProcessReport:
        """Make it end."""
        return self._operate(spec, lambda operation: operation.stop())

    def restart(self, spec: ProcessSpec) -> ProcessReport:
        """Stop it, prove that, and start it."""
        return self._operate(spec, outdated.restart)

    def _operate(self, spec: ProcessSpec, work: Callable[[SupervisedOperation], ProcessReport]) -> ProcessReport:
        from ops.node.supervised import SupervisedOperation  # sockets and subprocesses: a status does without

        server = Supervisord.of(self._kept)
        program = self._kept.program(spec.name)

        def operate() -> ProcessReport:
            with SupervisedOperation(spec, server, program, self._emit, self._lines, self._permit) as operation:
                return work(operation)

        try:
            return attempt(spec, operate)
        finally:
            server.close()
