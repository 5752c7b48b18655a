"""`fab karafka.log`: the processes' logs, whoever keeps them; the last lines, or as they come."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.core.records import replace
from ops.fleet.tasks.options import Options, on_processes

if TYPE_CHECKING:
    from ops.core.protocol import Event, LogCall
    from ops.fleet.plan import Plan
    from ops.fleet.report import Outcome, Report
    from ops.fleet.transport import Transport
    from ops.render.loglines import LogLines

_LINES, _MOST_LINES = 20, 10_000
_UNSAID = -1  # Invoke reads an option's type off its default
_FOLLOW_SECONDS = 7 * 86_400.0


@on_processes(
    lines="how many of each process (default: 20, with --since 10000; of a journal 1000 at most)",
    since="none that are older: 90s, 10m, 2h, 1d, or a time such as 2026-01-31T09:30",
    follow="go on with what comes, until Ctrl-C",
)
def log(context: Context, options: Options, lines: int = _UNSAID, since: str = "", follow: bool = False) -> int:
    """Show the processes' logs: journal, supervisor's or plain files, each line with its host and process."""
    import time

    from ops.core.errors import UsageError
    from ops.core.protocol import LogCall, Verb
    from ops.core.since import seconds_since
    from ops.fleet.plan import make_plan
    from ops.fleet.tasks.project import load_places, load_settings, make_transport
    from ops.fleet.tasks.showing import print_plan

    if lines != _UNSAID and not 1 <= lines <= _MOST_LINES:
        raise UsageError(f"expected 1 to {_MOST_LINES}, got {lines}", where="--lines")
    if follow and options.json:
        raise UsageError("what has no end is no JSON document", where="--follow", hint="leave --json out")
    ago = seconds_since(since, time.time()) if since else None
    default = _MOST_LINES if since else _LINES
    call = LogCall(default if lines == _UNSAID else lines, ago, follow)
    settings = load_settings(context)
    plan = _with(call, make_plan(settings, load_places(context, settings, *options.selection), Verb.LOG))
    if options.dry_run:
        print_plan(plan, as_json=options.json)
        return 0
    transport = make_transport(context, settings)
    return _follow(plan, transport) if follow else _show(plan, transport, as_json=options.json)


def _with(call: LogCall, plan: Plan) -> Plan:
    """Give the plan with what is asked of each log."""
    seconds = _FOLLOW_SECONDS if call.follow else 0.0
    return plan.changed(
        lambda action: replace(
            action,
            request=replace(action.request, log=call),
            deadline_seconds=max(seconds, action.deadline_seconds),
        )
    )


class _Listener:
    """Takes the lines of all processes: hands them on as they come, or keeps them by process."""

    def __init__(self, out: LogLines | None = None) -> None:
        from ops.fleet.tasks.hosting import narrator

        self.kept: dict[tuple[str, str], list[str]] = {}
        self._out = out
        self._narrator = narrator()

    def event(self, host: str, event: Event) -> None:
        """Take a line; whatever else an agent says is that it is still there."""
        from ops.core.protocol import LINE

        if event.step != LINE:
            return
        if self._out is not None:
            self._out.write(host, event.process, event.detail)
        else:
            self.kept.setdefault((host, event.process), []).append(event.detail)

    def finished(self, outcome: Outcome) -> None:
        """Say what kept a host, or one of its logs, from answering."""
        from ops.fleet.rollout import LeftError
        from ops.render.progress import Progress

        if isinstance(outcome.error, LeftError) and self._out is not None:
            return  # Ctrl-C is how one ends to follow logs
        self._narrator.finished(outcome)
        for process in outcome.response.processes if outcome.response else ():
            if not process.ok:
                Progress(sys.stderr).report(outcome.host, process)

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        """Say nothing: nothing has begun that would have to be waited for."""


def _follow(plan: Plan, transport: Transport) -> int:
    """Show what comes until Ctrl-C, or until nobody reads it: both are its proper end."""
    from ops.core.lasting import WhileRead
    from ops.fleet.rollout import carry_out
    from ops.render.loglines import LogLines

    with WhileRead():
        report = carry_out(plan, transport, _Listener(LogLines(sys.stdout, _names(plan))))
        return 0 if report.interrupted else int(report.exit_code)
    return 0


def _show(plan: Plan, transport: Transport, *, as_json: bool) -> int:
    """Show what there is, process by process."""
    from ops.fleet.rollout import carry_out
    from ops.fleet.tasks.showing import print_json
    from ops.render.loglines import LogLines

    listener = _Listener()
    report = carry_out(plan, transport, listener)
    if as_json:
        print_json(_data(report, listener))
        return int(report.exit_code)
    out = LogLines(sys.stdout, _names(plan))
    for host, process in _names(plan):
        for line in listener.kept.get((host, process), ()):
            out.write(host, process, line)
    if not report.exit_code and not any(listener.kept.values()):
        print(f"{plan.stage}: the logs that were asked for have no lines", file=sys.stderr)
    return int(report.exit_code)


def _data(report: Report, listener: _Listener) -> dict[str, object]:
    data = report.as_json()
    for host in data["hosts"]:
        for process in host["processes"]:
            process["log"] = listener.kept.get((host["host"], process["name"]), [])
    return data


def _names(plan: Plan) -> list[tuple[str, str]]:
    return [(one.target.name, spec.name) for one in plan.actions for spec in one.request.processes]
