"""`fab karafka.status`: a look at the fleet that changes nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.fleet.tasks.options import Options, on_processes

if TYPE_CHECKING:
    from ops.core.settings import Settings
    from ops.fleet.plan import Plan
    from ops.fleet.report import Report
    from ops.fleet.transport import Transport


@on_processes(watch="show a live table until Ctrl-C")
def status(context: Context, options: Options, watch: bool = False) -> int:
    """Show the fleet's processes and what their groups say; exit 0 running, 1 dead or zombie, 3 stopped, 4 unknown."""
    from ops.core.errors import UsageError
    from ops.core.protocol import Verb
    from ops.fleet.plan import make_plan
    from ops.fleet.tasks.project import load_places, load_settings, make_transport
    from ops.fleet.tasks.showing import print_plan

    if watch and (options.json or options.dry_run):
        raise UsageError("a live table goes with neither --json nor --dry-run", where="--watch")
    settings = load_settings(context)
    plan = make_plan(settings, load_places(context, settings, *options.selection), Verb.STATUS)
    if watch:
        from ops.fleet.tasks.watch import watch as show

        show(settings, plan, make_transport(context, settings))
        return 0
    if options.dry_run:
        print_plan(plan, as_json=options.json)
        return 0
    return _show_status(settings, plan, make_transport(context, settings), as_json=options.json)


def _show_status(settings: Settings, plan: Plan, transport: Transport, *, as_json: bool) -> int:
    """Look at processes and groups, show both; gives the exit code."""
    from ops.fleet.survey import FleetLook, with_survey
    from ops.fleet.tasks.showing import Narrator, Silent, print_json, survey_rows
    from ops.render.processes import print_processes
    from ops.render.progress import Progress
    from ops.shell.door import INTERRUPTED

    narrator = Narrator(Progress(sys.stderr), talkative=False, in_full=as_json)
    look = FleetLook(settings, plan, transport, Silent(), narrator)
    survey = None
    try:
        survey = look.surveyor.once()
    except KeyboardInterrupt:
        if look.report is None:
            raise
    report = look.report
    assert report is not None  # the surveyor has looked
    if as_json:
        data = report.as_json()
        print_json(data if survey is None else with_survey(data, survey))
    else:
        print_processes(survey_rows(report, survey), sys.stdout)
    return INTERRUPTED if survey is None else int(survey.exit_code)


def seen_now(plan: Plan, report: Report, transport: Transport) -> Report | None:
    """Look once more at what was changed: how the first hosts were when they were done with is minutes ago.

    Hosts that did not answer are not waited for again; None where the operator or a silent host has ended it.

    Parameters
    ----------
    plan : of a status of the same processes.
    """
    from ops.core.errors import UnreachableError
    from ops.fleet.report import Kind
    from ops.fleet.rollout import carry_out
    from ops.fleet.tasks.showing import Silent

    silent = {one.host for one in report.outcomes if one.kind in (Kind.UNREACHABLE, Kind.FAILED)}
    if report.interrupted or isinstance(report.ended, UnreachableError):
        return None
    if silent >= {action.target.name for action in plan.actions}:
        return None
    return carry_out(plan.without(frozenset(silent)), transport, Silent())
