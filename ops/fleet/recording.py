"""A rollout is written down while it runs: beside whoever watches it, the chronicle hears everything, too."""

from __future__ import annotations

import time
from collections.abc import Callable

from ops.core.errors import ExitCode, GateRefusedError
from ops.core.evidence import Evidence, Outcome
from ops.core.protocol import Event, Verb
from ops.core.settings import Settings
from ops.fleet import report, rollout
from ops.fleet.evidence import Chronicle
from ops.fleet.inventory import Selection, select
from ops.fleet.lease import Held
from ops.fleet.plan import make_plan
from ops.fleet.transport import Transport


class Recorder:
    """Tells a watcher and a chronicle what happens."""

    def __init__(self, watcher: rollout.Watcher, chronicle: Chronicle) -> None:
        self._watcher = watcher
        self._chronicle = chronicle

    def event(self, host: str, event: Event) -> None:
        """Write down what happens to a process."""
        self._chronicle.event(host, event)
        self._watcher.event(host, event)

    def finished(self, outcome: report.Outcome) -> None:
        """Write down what came of a host; the slots that are superfluous, batch 0, are no part of a batch."""
        self._chronicle.finished(outcome.host, outcome.batch, outcome.processes)
        self._watcher.finished(outcome)

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        """Pass it on."""
        self._chronicle.note(f"interrupted while {', '.join(hosts) or 'nobody'} was at work")
        self._watcher.interrupted(hosts)


class _Reader:
    """Takes the consumers' progress records from hosts, each as soon as it answers."""

    def __init__(self, chronicle: Chronicle) -> None:
        self._chronicle = chronicle

    def event(self, host: str, event: Event) -> None:
        """Say nothing."""

    def finished(self, outcome: report.Outcome) -> None:
        """Take a host's records; one that does not answer leaves its partitions to the committed offsets."""
        if outcome.response is not None and outcome.response.progress is not None:
            self._chronicle.progress(outcome.host, outcome.response.progress)
        else:
            self._chronicle.note(f"{outcome.host}: its consumers' progress records could not be read")

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        """Say nothing."""


def begin(settings: Settings, lease: Held, *, forced: str = "", clock: Callable[[], float] = time.time) -> Chronicle:
    """Begin the evidence of a restart."""
    return Chronicle(
        Evidence(
            application=settings.application,
            stage=settings.stage,
            strategy=settings.rollout.strategy,
            holder=lease.fence.holder,
            number=lease.number,
            started_at=clock(),
            seconds=0.0,
            outcome=Outcome.DONE,
            exit_code=0,
            run=lease.run,
            reason=lease.reason,
            forced=forced,
        )
    )


def conclude(chronicle: Chronicle, done: report.Report, settings: Settings, transport: Transport) -> Evidence:
    """Read what the stage's consumers wrote down of their own progress, and put all evidence together."""
    rollout.carry_out(make_plan(settings, select(settings, Selection()), Verb.PROGRESS), transport, _Reader(chronicle))
    return chronicle.evidence(_outcome(done), int(done.exit_code))


def _outcome(done: report.Report) -> Outcome:
    if done.interrupted:
        return Outcome.INTERRUPTED
    if isinstance(done.ended, GateRefusedError):
        return Outcome.REFUSED
    return Outcome.DONE if done.exit_code == ExitCode.DONE else Outcome.FAILED
