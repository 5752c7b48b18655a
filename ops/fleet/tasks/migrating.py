"""`fab karafka.migrate`: the processes from the manager that keeps them now to another one, as a restart goes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.shell.door import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.core.settings import Settings
    from ops.fleet.lease import Held
    from ops.fleet.report import Report
    from ops.fleet.tasks.hosting import HostState
    from ops.fleet.transport import Transport
    from ops.render.progress import Progress

Text = str | None


@command(
    positional=["manager"],
    help={
        "manager": "to which: systemd, supervisor or pidfile",
        "hosts": "comma-separated hosts; all of the stage without it",
        "json": "print JSON",
        "dry-run": "print the plan, do nothing",
        "lock-wait": "seconds to wait for another operator's lease to end (default: 0)",
    },
)
def migrate(
    context: Context, manager: str, hosts: Text = None, json: bool = False, dry_run: bool = False, lock_wait: int = 0
) -> int:
    """Give the processes to another manager, one after the other between gates; broken off, the next run goes on."""
    from msgspec import structs

    from ops.core.errors import UsageError
    from ops.core.keeping import KINDS
    from ops.core.protocol import Verb
    from ops.fleet.inventory import Selection
    from ops.fleet.lease_host import lease_host
    from ops.fleet.plan import make_plan
    from ops.fleet.tasks.changes import print_evidence, restart_under, store
    from ops.fleet.tasks.hosting import look
    from ops.fleet.tasks.installing import apply, exit_code
    from ops.fleet.tasks.leasing import hold
    from ops.fleet.tasks.project import load_places, load_settings, make_staying_transport
    from ops.fleet.tasks.showing import Narrator, print_json, print_plan, settled_rows
    from ops.render.processes import print_processes
    from ops.render.progress import Progress

    if manager not in KINDS:
        raise UsageError(f"no manager {manager!r}; there are: {', '.join(KINDS)}", where="karafka.migrate")
    written = load_settings(context)
    settings = structs.replace(written, manager=manager)
    places = load_places(context, settings, hosts, None, None)
    plan = make_plan(settings, places, Verb.MIGRATE)
    if dry_run:
        print_plan(plan, as_json=json)
        return 0
    progress = Progress(sys.stderr)
    with (
        make_staying_transport(context, settings) as transport,
        hold(context, settings, transport, f"migrate to {manager}", lock_wait, progress.say) as lease,
    ):
        states = look(settings, places, transport)
        for text in _unfit_writers(settings, states):
            progress.trouble(text)
        installed = apply(settings, states, transport, lease)
        code = exit_code(states) or int(installed.exit_code)
        if code:
            progress.trouble(f"what {manager} needs is not everywhere: no process was touched")
            return code
        narrate = Narrator(progress, talkative=True, in_full=json)
        plan = plan.under(lease.fence)
        own = Selection(processes=()).covers  # what the settings have no slot for stays as it is
        report, evidence = restart_under(lease, settings, plan, transport, narrate, progress.say, covers=own, force="")
        store(evidence, lease_host(settings, transport), progress.trouble)
        retired = _retire(settings, states, report, transport, lease)
    if json:
        print_json({**report.as_json(), "evidence": evidence.as_json(), "removed": retired})
    else:
        print_processes(settled_rows(report), sys.stdout)
        print_evidence(evidence)
    _conclude(written, settings, report, progress)
    return int(report.exit_code)


def _unfit_writers(settings: Settings, states: Sequence[HostState]) -> list[str]:
    """Say which processes write where the units that they are about to get would not let them."""
    from ops.core.checkup import unfit_writers
    from ops.fleet.tasks.hosting import unit_writes

    hint = "linked_dirs, or ReadWritePaths= in a drop-in, let it"
    return [
        f"{one.outcome.host}: {text}\n  {hint}"
        for one in states
        if one.facts is not None
        for text in unfit_writers(one.facts, unit_writes(settings, one.place.host))
    ]


def _retire(
    settings: Settings, states: Sequence[HostState], report: Report, transport: Transport, lease: Held
) -> list[str]:
    """Remove what other managers had on the hosts that are through, so that none of them starts a process again."""
    from ops.core.protocol import Verb
    from ops.core.records import replace
    from ops.fleet.plan import make_plan
    from ops.fleet.rollout import carry_out
    from ops.fleet.tasks.hosting import narrator

    through = {outcome.host for outcome in report.outcomes if outcome.ok}
    removed = []
    kinds = sorted({kind for one in states if one.facts for kind in one.facts.installed} - {settings.manager})
    for kind in kinds:
        chosen = tuple(
            one.place for one in states if one.facts and kind in one.facts.installed and one.place.host.host in through
        )
        if not chosen:
            continue
        plan = make_plan(settings, chosen, Verb.UNINSTALL).under(lease.fence)
        plan = plan.changed(
            lambda action, kind=kind: replace(  # type: ignore[misc]
                action, request=replace(action.request, keeping=replace(action.request.keeping, kind=kind))
            )
        )
        for outcome in carry_out(plan, transport, narrator(talkative=True), permit=lease.check).outcomes:
            answer = outcome.response.installed if outcome.response else None
            removed += [f"{outcome.host}: {line}" for line in answer.done] if answer else []
    return removed


def _conclude(written: Settings, settings: Settings, report: Report, progress: Progress) -> None:
    """Say what is left to be done."""
    from ops.core.keeping import PIDFILE

    if report.ended is not None:
        progress.trouble(str(report.ended))
    if report.exit_code:
        progress.say(f"some are kept by {settings.manager} now, some are not; run it again to go on")
        return
    if written.manager != settings.manager:
        progress.say(f"now write `manager: {settings.manager}` into the settings: they still say {written.manager}")
    if settings.manager != PIDFILE:
        progress.say("fab karafka.enable lets them start with their hosts")
