"""Managers: who keeps the processes of a host, behind one protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ops.core import keeping
from ops.core.keeping import Keeping
from ops.core.protocol import Event, ProcessReport, ProcessSpec
from ops.node.turn import Permit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object


class Manager(Protocol):
    """What every manager of processes can do.

    Nothing here raises for what a process does: a report says `ok` or not, and why.
    """

    def status(self, spec: ProcessSpec) -> ProcessReport:
        """Report how a process is; changes and waits for nothing."""

    def statuses(self, specs: Sequence[ProcessSpec]) -> tuple[ProcessReport, ...]:
        """Report how several processes are, in their order; whoever keeps them is asked once for all."""

    def start(self, spec: ProcessSpec) -> ProcessReport:
        """Make it run and ready; one that runs already is left alone."""

    def stop(self, spec: ProcessSpec) -> ProcessReport:
        """Make it end, and prove it; one that does not run is fine."""

    def restart(self, spec: ProcessSpec) -> ProcessReport:
        """Put a new process in its place: by a warm handover where both can, else by a stop, its proof, and a start."""


def manager_of(kept: Keeping, emit: Callable[[Event], None], *, permit: Permit, lines: int = 20) -> Manager:
    """Give the manager of a request's processes.

    Parameters
    ----------
    emit : told what happens as it happens.
    permit : says whether an operation may still begin, see `ops.node.turn`.
    lines : how many log lines a failure shows.
    """
    if kept.kind == keeping.SYSTEMD:
        from ops.node.managers.systemd import SystemdManager

        return SystemdManager(kept, emit, lines=lines, permit=permit)
    if kept.kind == keeping.SUPERVISOR:
        from ops.node.managers.supervisor import SupervisorManager

        return SupervisorManager(kept, emit, lines=lines, permit=permit)
    from ops.node.managers.pidfile import PidfileManager

    return PidfileManager(emit, lines=lines, permit=permit)
