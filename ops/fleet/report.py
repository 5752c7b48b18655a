"""What came of a plan: one outcome for every host, the never attempted ones too, and the exit code of it all."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from ops.core.errors import ExitCode, LockHeldError, OpsError
from ops.core.protocol import ProcessReport, Response, Verb
from ops.core.records import asdict, dataclass
from ops.core.states import State, exit_code_of_states
from ops.fleet.plan import HostAction, Plan

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class Kind(StrEnum):
    """What came of one host."""

    ANSWERED = "answered"  # whatever its answer says
    UNREACHABLE = "unreachable"
    FAILED = "failed"  # reached, but no agent's answer
    NOT_ATTEMPTED = "not attempted"


@dataclass(frozen=True)
class Outcome:
    """What came of one host.

    Attributes
    ----------
    response : of one that answered.
    error : why there is none.
    batch : in which it was its turn, from 1; 0 for a plan's superfluous slots, and where its turn never came.
    kept : its processes that were left alone, as they were when they were looked at.
    """

    action: HostAction
    kind: Kind
    response: Response | None = None
    error: OpsError | None = None
    batch: int = 0
    kept: tuple[ProcessReport, ...] = ()

    @property
    def host(self) -> str:
        """The host's key."""
        return self.action.target.name

    @property
    def ok(self) -> bool:
        """Whether what was asked for is so now, for every process."""
        return self.response is not None and not self.response.error and all(one.ok for one in self.response.processes)

    @property
    def unknown(self) -> bool:
        """Whether all that went wrong is that of some processes nobody can tell how they are now."""
        if self.response is None or self.response.error:
            return False
        return all(one.state is State.UNKNOWN for one in self.response.processes if not one.ok)

    @property
    def processes(self) -> tuple[ProcessReport, ...]:
        """How each process asked for is; unknown where nobody said."""
        said = {one.name: one for one in self.response.processes} if self.response else {}
        remark = "not attempted" if self.kind is Kind.NOT_ATTEMPTED else ""
        return tuple(
            said.get(spec.name) or ProcessReport(spec.name, State.UNKNOWN, ok=False, message=remark)
            for spec in self.action.request.processes
        )

    @property
    def told(self) -> tuple[ProcessReport, ...]:
        """The processes asked for, and those that were left alone."""
        return (*self.processes, *self.kept)

    @property
    def others(self) -> tuple[ProcessReport, ...]:
        """What else lives there, in slots that the settings do not have."""
        return self.response.others if self.response else ()

    @property
    def trouble(self) -> str:
        """What kept the host from answering in full; empty for nothing."""
        if self.error is not None:
            return str(self.error)
        return self.response.error if self.response else ""


@dataclass(frozen=True)
class Report:
    """What came of a plan.

    Attributes
    ----------
    outcomes : every host of it, in the plan's order; those left out or left alone at its end.
    ended : why it did not go on to its end: a preflight or gate refused, the lease was lost.
    """

    plan: Plan
    outcomes: tuple[Outcome, ...]
    interrupted: bool = False
    ended: OpsError | None = None

    @property
    def exit_code(self) -> int:
        """Decide the exit code.

        `status` takes the worst state of all processes, an unreachable host's being unknown. The others: 1 when
        anything failed, else 4 when a host was unreachable or nobody can tell how a process is now, else 0.
        Interrupted: 130. Refused by a gate: 11. A lease that was lost, or a host that knows of a newer one: 10.
        """
        if self.interrupted:
            return INTERRUPTED
        if self.ended is not None:
            return self.ended.exit_code
        if any(isinstance(outcome.error, LockHeldError) for outcome in self.outcomes):
            return ExitCode.LOCK_HELD
        if self.plan.verb is Verb.STATUS:
            return exit_code_of_states(one.state for outcome in self.outcomes for one in outcome.processes)
        bad = [outcome for outcome in self.outcomes if not outcome.ok]
        if any(outcome.kind in (Kind.ANSWERED, Kind.FAILED) and not outcome.unknown for outcome in bad):
            return ExitCode.FAILED
        return ExitCode.UNREACHABLE if bad else ExitCode.DONE

    def as_json(self) -> dict[str, Any]:
        """Give all of it as JSON data."""
        hosts = []
        for outcome in self.outcomes:
            one: dict[str, Any] = {"host": outcome.host, "outcome": str(outcome.kind)}
            if outcome.trouble:
                one["error"] = outcome.trouble
            hosts.append({**one, "processes": [asdict(process) for process in (*outcome.told, *outcome.others)]})
        extra: dict[str, Any] = {"interrupted": True} if self.interrupted else {}
        if self.ended is not None:
            extra["ended"] = str(self.ended)
        return {"stage": self.plan.stage, "verb": str(self.plan.verb), **extra, "hosts": hosts}
