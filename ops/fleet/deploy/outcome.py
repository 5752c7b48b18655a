"""How a deploy ends: where every host stands, what is undone where it failed, and what is left to the operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ops.core.errors import ExitCode, LockHeldError, OpsError
from ops.core.masking import SECRETS
from ops.core.protocol import Event, Verb
from ops.core.release import DeployAction
from ops.core.states import ALIVE
from ops.core.telling import HostRelease, Said, Table
from ops.fleet.deploy.fleet import Fleet, answers
from ops.fleet.deploy.work import Deployed
from ops.fleet.plan import make_plan
from ops.fleet.report import INTERRUPTED, Kind, Outcome, Report
from ops.fleet.rollout import carry_out

AUTOMATIC = "automatic rollback"
_THE_REST = "karafka.restart --outdated"
_NAMED = 4  # processes that are named; more are counted


@dataclass(frozen=True)
class Restarted:
    """What came of a restart, and its evidence."""

    report: Report
    evidence: dict[str, Any] | None = None
    name: str = ""


class Restart(Protocol):
    """Restarts the processes of hosts."""

    def __call__(self, hosts: Sequence[str], force: str, *, outdated: bool) -> Restarted:
        """Restart them.

        Parameters
        ----------
        force : the reason to overrule the preflight; empty for none.
        outdated : those alone that run another release than `current` of their host, or do not run.
        """


@dataclass
class Ending:
    """How it ended.

    Attributes
    ----------
    code : exit code.
    lines : in words; the last ones say what to do next.
    """

    code: int
    lines: list[str] = field(default_factory=list)


class Aftermath:
    """Deals with a deploy that failed.

    Parameters
    ----------
    restarted : what its restart came to; None where it was not begun.
    """

    def __init__(self, fleet: Fleet, done: Deployed, restart: Restart, restarted: Restarted | None) -> None:
        self._fleet = fleet
        self._done = done
        self._restart = restart
        self._restarted = restarted

    def deploy_failed(self, stage: str, error: BaseException) -> Ending:
        """Undo what can be undone, and say where all stands."""
        ending, done = Ending(_code(error)), self._done
        if isinstance(error, LockHeldError):  # the hosts are somebody else's now
            ending.lines.append("nothing was undone: the lease is lost")
        elif not done.before:
            ending.lines.append("current was not touched")
            if done.begun:
                self._try(DeployAction.MARK, reason=_reason(stage, error))
        elif stage == "publishing":
            if self._try(DeployAction.REVERT, only=done.before, reason=_reason(stage, error)):
                ending.lines.append("current leads where it led before; nothing was restarted")
            else:
                ending.lines.append("current could not be switched back everywhere; nothing was restarted")
                self._left_to_you(ending)
        elif self._restarted is not None and self._restarted.report.exit_code and self._automatic(error):
            self._roll_back(ending, error)
        else:
            self._left_to_you(ending)
        self.show()
        return ending

    def rollback_failed(self, error: BaseException) -> Ending:
        """Say where all stands; a rollback is not undone."""
        ending = Ending(_code(error))
        if self._done.before:
            self._left_to_you(ending)
        self.show()
        return ending

    def show(self) -> None:
        """Tell which host has and runs which release."""
        self._fleet.narrator.tell(Table(standing(self._fleet)))

    def _automatic(self, error: BaseException) -> bool:
        return self._fleet.settings.auto_rollback and not isinstance(error, KeyboardInterrupt)

    def _roll_back(self, ending: Ending, error: BaseException) -> None:
        release, narrator = self._done.release, self._fleet.narrator
        assert self._restarted is not None
        attempted = attempted_hosts(self._restarted.report)
        who = "no process had been touched"
        narrator.tell(Said(f"{AUTOMATIC}: release {release} is bad", failed=True))
        if not self._try(DeployAction.REVERT, reason=_reason("the rollout", error)):
            ending.lines.append("current could not be switched back everywhere")
            self._left_to_you(ending)
            return
        if attempted:
            again = self._restart(attempted, f"{AUTOMATIC} of {release}", outdated=True).report
            if again.exit_code:
                ending.lines.append(f"current leads back, but the restart of {', '.join(attempted)} failed")
                ending.lines.append(f"to go on: {self._command(_THE_REST)}")
                return
            who = extent(again)
        ending.code = ExitCode.ROLLED_BACK
        ending.lines.append(f"rolled back from {release}: {who}; it is marked bad")

    def _left_to_you(self, ending: Ending) -> None:
        release = self._done.release
        before = any(self._done.before.values())  # of a first deploy there is none
        back = [f"to go back: {self._command('deploy.rollback')}"] if before else []
        report = self._restarted.report if self._restarted is not None else None
        if report is not None and not report.exit_code:
            ending.lines += [f"release {release} is current, and was restarted before that", *back]
            return
        if report is not None and all(one.ok for one in report.outcomes) and report.outcomes:
            ending.lines += [f"release {release} is current, and all processes were restarted: see the table", *back]
            return
        ending.lines += [
            f"release {release} is current, and not everything runs it: see the table",
            f"to go on:   {self._command(_THE_REST)}",
            *back,
        ]

    def _command(self, task: str) -> str:
        return f"fab {self._fleet.settings.stage} {task}"

    def _try(self, action: DeployAction, *, only: Sequence[str] | dict[str, str] | None = None, reason: str) -> bool:
        """Ask hosts to undo something; False where one could not."""
        fleet = self._fleet if only is None else self._fleet.only(only)
        done = self._done
        report = fleet.report(action, release=done.release, performer=done.performer, reason=reason)
        return len(answers(report.outcomes)) == len(fleet.places)


def standing(fleet: Fleet) -> tuple[HostRelease, ...]:
    """Look which release each host has as current, and what its processes run."""
    listed = fleet.report(DeployAction.LIST)
    looked = carry_out(make_plan(fleet.settings, fleet.places, Verb.STATUS), fleet.transport, _Silent())
    known, rows = answers(listed.outcomes), []
    for outcome in looked.outcomes:
        answer = known.get(outcome.host)
        running = sorted({one.release for one in outcome.processes if one.state in ALIVE and one.release})
        note = "" if answer and not outcome.trouble else "not known: it did not answer"
        has = (answer.current, answer.previous) if answer else ("", "")
        rows.append(HostRelease(outcome.host, *has, tuple(running), note))
    return tuple(rows)


def attempted_hosts(report: Report) -> tuple[str, ...]:
    """Give the hosts whose turn had come in a restart."""
    tried = (one.host for one in report.outcomes if one.kind is not Kind.NOT_ATTEMPTED and one.batch)
    return tuple(dict.fromkeys(tried))


def extent(report: Report) -> str:
    """Return in words which processes were restarted, and how many were left alone as they run the release already."""
    kept = sum(len(one.kept) + sum(each.kept for each in one.processes) for one in report.outcomes)
    done = [
        f"{one.host} {each.name}" for one in report.outcomes if one.batch for each in one.processes if not each.kept
    ]
    names = ", ".join(done) if len(done) <= _NAMED else f"{len(done)} processes"
    return f"{names or 'nothing'} restarted" + (f", {kept} already on it" if kept else "")


class _Silent:
    """Watches without a word."""

    def event(self, host: str, event: Event) -> None:
        """Say nothing."""

    def finished(self, outcome: Outcome) -> None:
        """Say nothing."""

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        """Say nothing."""


def _code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    return int(error.exit_code) if isinstance(error, OpsError) else int(ExitCode.FAILED)


def _reason(stage: str, error: BaseException) -> str:
    what = str(error).splitlines()[0] if str(error) else "interrupted"
    return SECRETS.hide(f"{stage}: {what}")[:500]  # before it is cut: half of one would not be known
