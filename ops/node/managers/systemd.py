"""The systemd manager: a unit a process, started through the same shim as everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ops.core.amounts import counted
from ops.core.keeping import Keeping
from ops.core.protocol import Event, ProcessReport, ProcessSpec
from ops.core.states import ALIVE, State
from ops.node import inspection, outdated
from ops.node.managers.attempt import attempt
from ops.node.systemctl import Facts, Systemctl, SystemdError
from ops.node.turn import Permit, unbound

if TYPE_CHECKING:
    from ops.node.unit_operation import UnitOperation

_WORDS = {"activating": State.STARTING, "deactivating": State.STOPPING}


class SystemdManager:
    """Has systemd start and end the processes; `Manager` says what its methods promise.

    A status is what the slot itself tells (`ops.node.inspection`), and what systemd adds: that it is about to start a
    process again or has given that up, and that a process is none of its unit's. `restarts` is the slot's own count,
    of agents' starts and of restarts after a death (`ops.core.deaths`): NRestarts is zero again after each start that
    somebody asks for, and is told only in the words of a crash loop.

    Parameters
    ----------
    kept : whose units, of which scope.
    emit : told what happens as it happens.
    lines : how many log lines a failure shows.
    permit : says whether an operation may still begin, see `ops.node.turn`.
    """

    def __init__(
        self, kept: Keeping, emit: Callable[[Event], None], *, lines: int = 20, permit: Permit = unbound
    ) -> None:
        self._systemctl = Systemctl(kept)
        self._emit = emit
        self._lines = lines
        self._permit = permit

    def status(self, spec: ProcessSpec) -> ProcessReport:
        """Report how a process is."""
        return self.statuses([spec])[0]

    def statuses(self, specs: Sequence[ProcessSpec]) -> tuple[ProcessReport, ...]:
        """Report how several processes are; systemd is asked once for all."""
        units = [self._systemctl.kept.unit(spec.name) for spec in specs]
        if not units:
            return ()
        try:
            asked = self._systemctl.ask(units)
            reports = [inspection.seen(spec) for spec in specs]
            found = self._systemctl.answer(asked, units)
        except SystemdError as error:
            reports = [inspection.seen(spec) for spec in specs]
            return tuple(_unasked(report, error) for report in reports)
        joined = (_joined(report, found.get(unit, Facts()), unit) for report, unit in zip(reports, units))
        return tuple(self._told(report, unit) for report, unit in zip(joined, units))

    def start(self, spec: ProcessSpec) -> ProcessReport:
        """Make it run and ready."""
        return self._operate(spec, lambda operation: operation.start())

    def stop(self, spec: ProcessSpec) -> ProcessReport:
        """Make it end."""
        return self._operate(spec, lambda operation: operation.stop())

    def restart(self, spec: ProcessSpec) -> ProcessReport:
        """Stop it, prove that, and start it: two commands, so that both are timed."""
        return self._operate(spec, outdated.restart)

    def _told(self, report: ProcessReport, unit: str) -> ProcessReport:
        """Add what a crash-looping process said last; of all others the journal is not read."""
        if report.state is not State.CRASH_LOOPING:
            return report
        from ops.node import journal, sandboxing

        log = journal.tail(self._systemctl, unit, self._lines, since=0)
        hint = sandboxing.hint(self._systemctl.kept, log)
        return replace(_remarked(report, hint) if hint else report, log=log)

    def _operate(self, spec: ProcessSpec, work: Callable[[UnitOperation], ProcessReport]) -> ProcessReport:
        from ops.node.unit_operation import UnitOperation

        def operate() -> ProcessReport:
            with UnitOperation(spec, self._emit, self._lines, self._permit, self._systemctl) as operation:
                return work(operation)

        return attempt(spec, operate)


def _joined(report: ProcessReport, facts: Facts, unit: str) -> ProcessReport:
    """Add what systemd says to what the slot tells."""
    if report.state is State.UNKNOWN:
        return report
    if report.state in ALIVE:
        if facts.pid and facts.pid != report.pid:
            return _remarked(report, f"{unit} has another process, {facts.pid}")
        if not facts.pid:
            return _remarked(report, f"it was started beside its unit {unit}: a restart puts it there")
        if facts.active in _WORDS:
            return replace(report, state=_WORDS[facts.active])
        return report
    if facts.waits:
        text = f"it {facts.ending()}; systemd starts it again, for the {facts.restarts + 1}. time"
        return replace(report, state=State.CRASH_LOOPING, message=text)
    if facts.gave_up:
        text = f"it {facts.ending()}; systemd gave up after {counted(facts.restarts, 'restart')}"
        return replace(report, state=State.CRASH_LOOPING, message=text)
    if facts.active == "failed":
        return replace(report, state=State.DEAD, message=f"it {facts.ending()}; systemd left it at that")
    if facts.active in _WORDS or facts.active == "active":
        return replace(report, state=_WORDS.get(facts.active, State.STARTING))
    if facts.load == "not-found":
        return _remarked(report, f"systemd has no unit {unit}: fab karafka.install")
    return report


def _remarked(report: ProcessReport, text: str) -> ProcessReport:
    return replace(report, message="; ".join(filter(None, (report.message, text))))


def _unasked(report: ProcessReport, error: SystemdError) -> ProcessReport:
    """Say how a process is whose keeper cannot be asked: what runs runs, all else is not known."""
    report = _remarked(report, str(error))
    return report if report.state in ALIVE else replace(report, state=State.UNKNOWN)
