"""`fab karafka.start|stop|restart`: what changes the fleet's processes, under the stage's lease."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.fleet.tasks.options import Options, on_processes

if TYPE_CHECKING:
    from collections.abc import Callable

    from ops.core.evidence import Evidence
    from ops.core.settings import Settings
    from ops.core.slot import Slot
    from ops.fleet.lease import Held
    from ops.fleet.lease_host import LeaseHost
    from ops.fleet.plan import Plan
    from ops.fleet.report import Report
    from ops.fleet.rollout import Watcher
    from ops.fleet.transport import Transport

_LOCK_WAIT = "seconds to wait for another operator's lease to end (default: 0)"


@on_processes(lock_wait=_LOCK_WAIT)
def start(context: Context, options: Options, lock_wait: int = 0) -> int:
    """Start processes on all hosts at once, and wait until they are ready."""
    return _change(context, "start", options, lock_wait)


@on_processes(lock_wait=_LOCK_WAIT)
def stop(context: Context, options: Options, lock_wait: int = 0) -> int:
    """Stop processes on all hosts at once: drain, then end."""
    return _change(context, "stop", options, lock_wait)


@on_processes(
    lock_wait=_LOCK_WAIT,
    force="go on against the preflight; needs --reason",
    reason="why; kept in the lease and the evidence",
    reachable_only="go on without the hosts that do not answer; without it nothing is touched then (exit 4)",
    outdated="only processes that run another release than current of their host, or do not run",
)
def restart(
    context: Context,
    options: Options,
    lock_wait: int = 0,
    force: bool = False,
    reason: str = "",
    reachable_only: bool = False,
    outdated: bool = False,
) -> int:
    """Restart processes: batch after batch, a gate after each, up to the first failure or refusal (exit 11)."""
    from ops.core.errors import UsageError

    why = reason.strip()
    if force and not why:
        raise UsageError("it needs a reason", where="--force", hint='add --reason "..."')
    overruled = why if force else ""
    return _change(
        context, "restart", options, lock_wait,
        reason=why, force=overruled, reachable_only=reachable_only, outdated=outdated,
    )  # fmt: skip


def _change(
    context: Context,
    verb: str,
    options: Options,
    lock_wait: int,
    *,
    reason: str = "",
    force: str = "",
    reachable_only: bool = False,
    outdated: bool = False,
) -> int:
    """Plan a verb, carry it out under the lease, show what came of it; gives the exit code."""
    from ops.core.protocol import Verb
    from ops.fleet.inventory import Selection
    from ops.fleet.lease_host import lease_host
    from ops.fleet.outdated import only_outdated, rest_of
    from ops.fleet.plan import make_plan
    from ops.fleet.tasks.leasing import check_wait, hold
    from ops.fleet.tasks.looks import seen_now
    from ops.fleet.tasks.project import load_places, load_settings, make_staying_transport
    from ops.fleet.tasks.showing import Narrator, outcomes, print_json, print_plan, settled_rows
    from ops.render.ci import MarkedProgress, Marks, summarise
    from ops.render.processes import print_processes

    check_wait(lock_wait)
    settings = load_settings(context)
    places = load_places(context, settings, *options.selection)
    plan = make_plan(settings, places, Verb(verb))
    if outdated:
        plan = only_outdated(plan)
    covers = Selection.parse(*options.selection).covers
    if options.dry_run:
        with make_staying_transport(context, settings) as transport:
            plan, unasked = _foreseen(settings, plan, transport, covers)
        print_plan(plan, as_json=options.json, unasked=unasked)
        return 0
    marks = Marks(sys.stderr, sections=not options.json)
    progress = MarkedProgress(sys.stderr, marks)
    narrator = Narrator(progress, talkative=True, in_full=options.json)
    evidence = None
    doing = f"{verb} --outdated" if outdated else verb
    with make_staying_transport(context, settings) as transport, marks.section(f"karafka.{doing} {settings.stage}"):
        report = _nothing_outdated(settings, plan, transport, covers, progress.say) if outdated else None
        if report is None:
            with hold(context, settings, transport, reason or doing, lock_wait, progress.say) as lease:
                plan = plan.under(lease.fence)
                if plan.verb is Verb.RESTART:
                    report, evidence = restart_under(
                        lease, settings, plan, transport, narrator, progress.say,
                        covers=covers, force=force, reachable_only=reachable_only,
                    )  # fmt: skip
                    store(evidence, lease_host(settings, transport), progress.trouble)
                else:
                    report = _start_or_stop(settings, plan, transport, narrator, lease, covers=covers)
        seen = None if options.json else seen_now(make_plan(settings, places, Verb.STATUS), report, transport)
    if options.json:
        print_json({**report.as_json(), **({"evidence": evidence.as_json()} if evidence else {})})
    else:
        print_processes(settled_rows(report, seen), sys.stdout)
        print_evidence(evidence)
    if report.ended is not None:
        progress.trouble(str(report.ended))
    if evidence is not None and (command := rest_of(evidence, *options.selection)):
        progress.say(f"to go on with the rest: {command}")
    summarise(marks, verb, settings.stage, int(report.exit_code), outcomes(report), evidence)
    return int(report.exit_code)


def _foreseen(
    settings: Settings, plan: Plan, transport: Transport, covers: Callable[[Slot], bool]
) -> tuple[Plan, tuple[str, ...]]:
    """Make of a plan what a look at its hosts shows, and give who cannot be looked at.

    The stop of superfluous slots comes to it; of a restart of what is outdated, what is not goes.
    """
    from ops.core.protocol import Verb
    from ops.core.records import replace
    from ops.fleet.outdated import narrowed
    from ops.fleet.report import Kind
    from ops.fleet.roll_call import RollCall

    if plan.verb is Verb.START:
        return plan, ()
    chosen = {action.target.name for action in plan.actions}
    whole = everybody(settings)
    some = tuple(tuple(one for one in batch if one.target.name in chosen) for batch in whole.batches)
    report = _looker(replace(whole, batches=some), transport)(frozenset())
    if report.interrupted:
        raise KeyboardInterrupt
    call = RollCall(settings)
    call.first(report, plan)
    unasked = tuple(one.host for one in report.outcomes if one.kind is not Kind.ANSWERED)
    seen = replace(plan, superfluous=call.superfluous(plan, covers))
    return narrowed(settings, seen, report) if plan.outdated else seen, unasked


def _nothing_outdated(
    settings: Settings,
    plan: Plan,
    transport: Transport,
    covers: Callable[[Slot], bool],
    say: Callable[[str], None],
) -> Report | None:
    """Look without the lease whether a restart of what is outdated has anything to do; None where it may have."""
    from ops.fleet.outdated import nothing_to_do
    from ops.fleet.rollout import carry_out
    from ops.fleet.tasks.showing import Silent

    seen, unasked = _foreseen(settings, plan, transport, covers)
    if seen.steps or unasked:
        return None
    say(nothing_to_do(seen))
    return carry_out(seen, transport, Silent())


def _start_or_stop(
    settings: Settings,
    plan: Plan,
    transport: Transport,
    narrator: Watcher,
    lease: Held,
    *,
    covers: Callable[[Slot], bool],
) -> Report:
    """Start or stop; a stop is also for slots that the settings do not have any more."""
    from ops.core.protocol import Verb
    from ops.core.records import replace
    from ops.fleet.roll_call import RollCall
    from ops.fleet.rollout import carry_out

    if plan.verb is Verb.STOP:
        call = RollCall(settings)
        call.first(_looker(everybody(settings), transport)(frozenset()), plan)
        plan = replace(plan, superfluous=call.superfluous(plan, covers))
    return carry_out(plan, transport, narrator, permit=lease.check)


def restart_under(
    lease: Held,
    settings: Settings,
    plan: Plan,
    transport: Transport,
    narrator: Watcher,
    say: Callable[[str], None],
    *,
    covers: Callable[[Slot], bool],
    force: str,
    reachable_only: bool = False,
) -> tuple[Report, Evidence]:
    """Restart between gates that look at the whole stage, whatever is selected, and gather the evidence.

    Parameters
    ----------
    covers : whether a slot that the settings do not have (any more) is stopped.
    """
    from functools import partial

    from ops.fleet.gates import Gates
    from ops.fleet.observer import observer_of
    from ops.fleet.recording import Recorder, begin, conclude
    from ops.fleet.release_topics import ReleaseTopics
    from ops.fleet.rollout import carry_out

    whole_stage = everybody(settings)
    chronicle = begin(settings, lease, forced=force)
    gates = Gates(
        settings,
        observer_of(settings, transport, whole_stage.actions),
        _looker(whole_stage, transport),
        partial(ReleaseTopics.ask, transport) if settings.app is not None else None,
        chronicle,
        say,
        covers=covers,
        force=force,
        reachable_only=reachable_only,
    )
    report = carry_out(plan, transport, Recorder(narrator, chronicle), gates, lease.check)
    return report, conclude(chronicle, report, settings, transport)


def everybody(settings: Settings) -> Plan:
    """Plan a status of the whole stage, whatever is selected."""
    from ops.core.protocol import Verb
    from ops.fleet.inventory import Selection, select
    from ops.fleet.plan import make_plan

    return make_plan(settings, select(settings, Selection()), Verb.STATUS)


def _looker(plan: Plan, transport: Transport) -> Callable[[frozenset[str]], Report]:
    """Give what takes a status, silently, of all hosts but some."""
    from ops.fleet.rollout import carry_out
    from ops.fleet.tasks.showing import Silent

    return lambda without: carry_out(plan.without(without), transport, Silent())


def store(evidence: Evidence, keeper: LeaseHost, trouble: Callable[[str], None]) -> None:
    """Keep the evidence beside the lease; that it cannot be kept changes nothing about what was done."""
    from ops.core.errors import OpsError
    from ops.core.history import HistoryAction, HistoryCall
    from ops.core.masking import SECRETS
    from ops.render.timeline import timeline

    kept = SECRETS.hidden(evidence.as_json())
    call = HistoryCall(HistoryAction.STORE, evidence.name, kept, timeline(evidence))
    try:
        keeper.history(call)
    except OpsError as error:
        trouble(f"the evidence could not be kept: {error}")


def print_evidence(evidence: Evidence | None) -> None:
    if evidence is not None:
        from ops.render.evidence import print_summary

        print()
        print_summary(evidence, sys.stdout)
        print(f"\nkept as {evidence.name}\npicture: fab karafka.history --picture FILE.svg")
