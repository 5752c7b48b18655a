"""The pidfile manager: plain processes, owned by nobody but the kernel's byte locks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ops.core.protocol import Event, ProcessReport, ProcessSpec
from ops.node import inspection, outdated
from ops.node.managers.attempt import attempt
from ops.node.turn import Permit, unbound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ops.node.operation import Operation


def _nobody(event: Event) -> None:
    """Hear an event and do nothing."""


class PidfileManager:
    """Starts and stops processes through the shim; `Manager` says what its methods promise.

    At most one of its methods may be at work on a slot in one process (see `ops.core.locks`).

    Parameters
    ----------
    emit : told what happens as it happens.
    lines : how many log lines a failure shows.
    permit : says whether an operation may still begin, see `ops.node.turn`.
    """

    def __init__(self, emit: Callable[[Event], None] = _nobody, *, lines: int = 20, permit: Permit = unbound) -> None:
        self._emit = emit
        self._lines = lines
        self._permit = permit

    def status(self, spec: ProcessSpec) -> ProcessReport:
        """Report how a process is."""
        return inspection.seen(spec)

    def statuses(self, specs: Sequence[ProcessSpec]) -> tuple[ProcessReport, ...]:
        """Report how several processes are."""
        return tuple(map(self.status, specs))

    def start(self, spec: ProcessSpec) -> ProcessReport:
        """Make it run and ready."""
        return self._operate(spec, lambda operation: operation.start())

    def stop(self, spec: ProcessSpec) -> ProcessReport:
        """Make it end."""
        return self._operate(spec, lambda operation: operation.stop())

    def restart(self, spec: ProcessSpec) -> ProcessReport:
        """Hand over to a warm replacement where the process can; else stop it, prove that, and start it."""
        return self._operate(spec, outdated.restart)

    def _operate(self, spec: ProcessSpec, work: Callable[[Operation], ProcessReport]) -> ProcessReport:
        from ops.node.operation import Operation  # sockets and subprocesses: a status does without

        def operate() -> ProcessReport:
            with Operation(spec, self._emit, self._lines, self._permit) as operation:
                return work(operation)

        return attempt(spec, operate)
