"""The sole executor: takes a plan's batches one after the other, the hosts of a batch side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ops.core.errors import OpsError, UnreachableError
from ops.core.protocol import ASKING, LEFT, Event, Response, Verb
from ops.core.records import replace
from ops.fleet.conversation import ask
from ops.fleet.crew import Crew, Done, Happened, Interrupted, Job
from ops.fleet.plan import HostAction, Plan
from ops.fleet.report import Kind, Outcome, Report
from ops.fleet.transport import Transport


class Watcher(Protocol):
    """Is told what happens while it happens, always in the thread that carries the plan out."""

    def event(self, host: str, event: Event) -> None:
        """Something happened to a process."""

    def finished(self, outcome: Outcome) -> None:
        """A host is done with."""

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        """Ctrl-C: what has begun on these hosts is waited for, nothing else is begun."""


class LeftError(OpsError):
    """A host that was not waited for any longer: whoever asked has ended the command."""


class Checkpoints(Protocol):
    """Says before, between and after batches whether it may go on; raises an OpsError where it may not."""

    def preflight(self, plan: Plan) -> Plan:
        """Look before anything is touched; gives the plan as what was seen makes it."""

    def after(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """Look after a batch, numbered from 1; 0 is the stop of what is superfluous."""


def carry_out(
    plan: Plan,
    transport: Transport,
    watcher: Watcher,
    gates: Checkpoints | None = None,
    permit: Callable[[], None] = lambda: None,
) -> Report:
    """Carry a plan out; every host of it is in the report, in the plan's order, what gates leave out or alone last.

    Ctrl-C lets the hosts at work finish and begins no other; the second one leaves them to their agents, which
    finish by themselves.

    Parameters
    ----------
    permit : called before each batch; raises an OpsError where none may be begun any more (the lease is lost).
    """
    run = _Run(plan, transport, watcher)
    whole = plan
    ended: OpsError | None = None
    try:
        if gates is not None:
            plan = run.plan = gates.preflight(plan)
        for number, batch in plan.steps:
            permit()
            with run.crew.interrupts():
                outcomes = run.batch(number, batch)
            if run.over:
                break
            if gates is not None:
                gates.after(number, outcomes)
    except OpsError as error:
        ended = error
    except KeyboardInterrupt:  # while a gate waited: no host is at work
        run.interrupted += 1
    reason = "interrupted" if run.interrupted else f"the {plan.verb} ended at the first batch that failed"
    if ended is not None:
        reason = ended.what.splitlines()[0]
    all_of_them = []
    for number, batch in plan.steps:
        for action in batch:
            why = OpsError(f"not attempted: {reason}", where=action.target.name)
            done = run.done.get((number, action.target.name))
            all_of_them.append(done or Outcome(action, Kind.NOT_ATTEMPTED, error=why))
    all_of_them = _with_kept(plan, all_of_them)
    there = {outcome.host for outcome in all_of_them}
    for action in whole.actions:
        if action.target.name not in there:
            why = UnreachableError("left out: it does not answer", where=action.target.name)
            all_of_them.append(Outcome(action, Kind.UNREACHABLE, error=why))
    return Report(plan, tuple(all_of_them), run.interrupted > 0, ended)


def _with_kept(plan: Plan, outcomes: list[Outcome]) -> list[Outcome]:
    """Add what the plan left alone: to what else came of its host, or where that was all, as an outcome of its own."""
    kept = {one.host: one for one in plan.kept}
    due = {action.target.name for batch in plan.batches for action in batch}
    added = []
    for one in outcomes:
        own = one.host in kept and one.action.request.verb is plan.verb  # not the stop of what is superfluous
        added.append(replace(one, kept=kept[one.host].processes) if own else one)
    alone = (one for name, one in kept.items() if name not in due)
    return added + [Outcome(one.action, Kind.ANSWERED, Response(()), kept=one.processes) for one in alone]


class _Run:
    """One plan under way."""

    def __init__(self, plan: Plan, transport: Transport, watcher: Watcher) -> None:
        self.plan = plan
        self.crew: Crew[Event, Response] = Crew(plan.pool)
        self.done: dict[tuple[int, str], Outcome] = {}
        self.interrupted = 0
        self._transport = transport
        self._watcher = watcher
        self._last: dict[str, str] = {}

    @property
    def over(self) -> bool:
        """Whether no further batch may begin."""
        failed = {outcome.host for outcome in self.done.values() if not outcome.ok}
        return self.interrupted > 0 or len(failed) > self.plan.max_failures

    def batch(self, number: int, actions: tuple[HostAction, ...]) -> tuple[Outcome, ...]:
        """Carry one batch out."""
        by_host = {action.target.name: action for action in actions}

        def settle(host: str, kind: Kind, response: Response | None, error: OpsError | None) -> None:
            outcome = self.done[number, host] = Outcome(by_host[host], kind, response, error, number)
            self._watcher.finished(outcome)

        for news in self.crew.run([self._job(action) for action in actions]):
            match news:
                case Happened(host, event):
                    self._last[host] = " ".join(part for part in (event.process, event.step, event.detail) if part)
                    self._watcher.event(host, event)
                case Done(host, response, error):
                    settle(host, _kind(error), response, error)
                case Interrupted(hosts):
                    self.interrupted += 1
                    if self.interrupted > 1 or self.plan.verb in LEFT:
                        self.crew.leave()
                        for host in hosts:
                            settle(host, Kind.FAILED, None, self._left(host))
                    else:
                        self._watcher.interrupted(hosts)
        return tuple(self.done[number, host] for host in by_host if (number, host) in self.done)

    def _job(self, action: HostAction) -> Job[Event, Response]:
        return Job(action.target.name, lambda emit: ask(self._transport, action, emit), action.deadline_seconds)

    def _left(self, host: str) -> OpsError:
        if self.plan.verb in ASKING:
            return LeftError("it was not waited for: interrupted", where=host)
        last = f"; last heard: {self._last[host]}" if host in self._last else ""
        hint = "its agent ends the command" if self.plan.verb is Verb.EXEC else "its agent finishes what it has begun"
        return LeftError(f"left while it worked{last}", where=host, hint=hint)


def _kind(error: OpsError | None) -> Kind:
    if error is None:
        return Kind.ANSWERED
    return Kind.UNREACHABLE if isinstance(error, UnreachableError) else Kind.FAILED
