"""`inv start|stop|restart|status`: the processes of this host, in process, by the agent's own functions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.core.guarded import print_json
from ops.shell.door import INTERRUPTED, command

if TYPE_CHECKING:
    from ops.core.protocol import Event, Response, Verb
    from ops.core.survey import Survey
    from ops.render.processes import HostRows
    from ops.tasks.project import Place

_HELP = {"processes": "comma-separated names, such as karafka-0; all of this host without it", "json": "print JSON"}


@command(help={**_HELP, "watch": "show a live table until Ctrl-C"})
def status(context: Context, processes: str | None = None, json: bool = False, watch: bool = False) -> int:
    """Show this host's consumer processes and their groups; exit 0 running, 1 dead or zombie, 3 stopped, 4 unknown."""
    from ops.core.errors import UsageError
    from ops.tasks.observing import HostLook
    from ops.tasks.project import place

    if watch and json:
        raise UsageError("a live table does not go with --json", where="--watch")
    found = place(context, processes)
    look = HostLook(found)
    try:
        if watch:
            from ops.render.live import show_live

            def again() -> tuple[HostRows, ...]:
                survey = look.surveyor.again()
                return _joined(found, look.response, survey)

            show_live(again, sys.stdout, f"{found.settings.stage} {found.host}")
            return 0
        survey = look.surveyor.once()
    finally:
        look.close()
    _show(found, look.response, as_json=json, survey=survey)
    return INTERRUPTED if look.response.error else int(survey.exit_code)


@command(help=_HELP)
def start(context: Context, processes: str | None = None, json: bool = False) -> int:
    """Start this host's consumer processes and wait until they are ready."""
    return _carry_out(context, "start", processes, as_json=json)


@command(help=_HELP)
def stop(context: Context, processes: str | None = None, json: bool = False) -> int:
    """Stop this host's consumer processes: drain, then end."""
    return _carry_out(context, "stop", processes, as_json=json)


@command(help={**_HELP, "outdated": "only processes that run another release than current, or do not run"})
def restart(context: Context, processes: str | None = None, json: bool = False, outdated: bool = False) -> int:
    """Restart this host's consumer processes, one after the other."""
    return _carry_out(context, "restart", processes, as_json=json, outdated=outdated)


def _carry_out(context: Context, verb: str, names: str | None, *, as_json: bool, outdated: bool = False) -> int:
    """Ask this host's agent in process, and show what it says; gives the exit code."""
    from ops.core.errors import ExitCode
    from ops.core.interrupts import asked_once
    from ops.core.protocol import Verb
    from ops.core.states import State
    from ops.render.progress import Progress
    from ops.tasks.project import place

    found = place(context, names, takes_part=verb != "stop")
    progress = Progress(sys.stderr)

    def say(event: Event) -> None:
        progress.event(found.host, event)

    for one in _ask(found, Verb.STATUS).processes if outdated else ():
        if one.outdated:
            progress.say(f"outdated: {one.name}: {one.outdated}")
    with asked_once():
        response = _ask(found, Verb(verb), say, outdated=outdated)
    if outdated and all(one.kept for one in response.processes) and not response.error:
        progress.say("nothing is outdated")
    for report in response.processes:
        if not report.ok:
            progress.report(found.host, report)
    _show(found, response, as_json=as_json)
    if response.error:
        return INTERRUPTED
    bad = [one.state for one in response.processes if not one.ok]
    if bad and all(state is State.UNKNOWN for state in bad):
        return int(ExitCode.UNREACHABLE)
    return int(ExitCode.FAILED if bad else ExitCode.DONE)


def _ask(
    found: Place, verb: Verb, say: Callable[[Event], None] = lambda _event: None, *, outdated: bool = False
) -> Response:
    """Carry a verb out; a restart goes process after process, the others go side by side.

    Parameters
    ----------
    outdated : a restart leaves alone what runs the release that `current` leads to.
    """
    from dataclasses import replace

    from ops.core.protocol import Request, Verb
    from ops.fleet.plan import keeping_of, roster_of
    from ops.node.agent import carry_out

    at_once = verb is not Verb.RESTART
    roster, keeping = roster_of(found.settings, (one.name for one in found.all_specs)), keeping_of(found.settings)
    specs = tuple(replace(one, only_outdated=outdated) for one in found.specs)
    return carry_out(
        Request(verb, found.host, specs, at_once, shared=found.shared, roster=roster, keeping=keeping), say
    )


def _show(found: Place, response: Response, *, as_json: bool, survey: Survey | None = None) -> None:
    from dataclasses import asdict

    from ops.render.processes import print_processes

    if as_json:
        processes = [asdict(one) for one in (*response.processes, *response.others)]
        extra = {}
        if survey is not None:
            from ops.fleet.survey import remarks_data, with_row

            processes = [with_row(survey, found.host, one) for one in processes]
            extra = remarks_data(survey)
        data = {"stage": found.settings.stage, "host": found.host, **extra, "processes": processes}
        print_json(data)
        return
    print_processes(_rows(found, response) if survey is None else _joined(found, response, survey), sys.stdout)


def _rows(found: Place, response: Response) -> tuple[HostRows, ...]:
    from ops.render.processes import HostRows

    return (HostRows(found.host, response.processes, response.error),)


def _joined(found: Place, response: Response, survey: Survey) -> tuple[HostRows, ...]:
    """Give the table with what the cluster says of each process, and below it what is remarkable."""
    from ops.render.processes import HostRows

    by_name = {row.report.name: row for row in survey.observation.rows}
    processes = (*response.processes, *response.others)
    return (HostRows(found.host, processes, response.error, by_name), HostRows.below(survey.texts))
