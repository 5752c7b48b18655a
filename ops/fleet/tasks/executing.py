"""`fab karafka.exec -- COMMAND`: a command on hosts, in the release's folder and the processes' environment."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.shell.door import command

if TYPE_CHECKING:
    from ops.core.protocol import Event
    from ops.core.settings import Settings
    from ops.fleet.inventory import Place
    from ops.fleet.plan import Plan
    from ops.fleet.remote_commands import HostResult, KeptLines
    from ops.fleet.report import Outcome, Report
    from ops.render.loglines import LogLines

SECONDS = 60
"""After which a command is ended, where nobody says how long it may take."""


@command(
    name="exec",
    help={
        "hosts": "comma-separated hosts; all of the stage without it",
        "roles": "comma-separated roles",
        "timeout": "seconds after which the command is ended, with all that it has started",
        "json": "print JSON, with the output of each host",
    },
)
def exec_(
    context: Context, hosts: str | None = None, roles: str | None = None, timeout: int = SECONDS, json: bool = False
) -> int:
    """Run a command on hosts: fab karafka.exec -- uptime; exit 0, or 13 where it failed, 4 where a host is silent."""
    from ops.fleet.remote_commands import exit_code_of
    from ops.fleet.tasks.project import load_places, load_settings
    from ops.fleet.tasks.showing import print_json
    from ops.shell.remainder import given_command

    argv = given_command()
    settings = load_settings(context)
    places = load_places(context, settings, hosts, roles, None)
    report, results = run_on(context, settings, places, argv, timeout, quiet=json)
    if json:
        print_json({"stage": settings.stage, "command": argv, "hosts": [one.as_json() for one in results]})
    return int(exit_code_of(report, results))


def run_on(
    context: Context, settings: Settings, places: tuple[Place, ...], argv: Sequence[str], seconds: float, *, quiet: bool
) -> tuple[Report, tuple[HostResult, ...]]:
    """Run a command on hosts, side by side; its output is shown as it comes, and what failed at its end.

    Parameters
    ----------
    quiet : whether the output is kept alone.

    Raises
    ------
    UsageError : there is no command, or nobody waits so long.
    """
    from ops.core.masking import SECRETS
    from ops.fleet.remote_commands import exec_plan, result_of
    from ops.fleet.rollout import carry_out
    from ops.fleet.tasks.project import make_transport

    SECRETS.learn(tuple(argv))
    plan = exec_plan(settings, places, argv, seconds)
    listener = _Listener(None if quiet else _log_lines(plan))
    report = carry_out(plan, make_transport(context, settings), listener)
    return report, tuple(result_of(one, listener.of(one.host)) for one in report.outcomes)


def _log_lines(plan: Plan) -> LogLines:
    from ops.render.loglines import LogLines

    return LogLines(sys.stdout, [(one.target.name, "") for one in plan.actions])


class _Listener:
    """Keeps the last lines of each host, hands all of them on as they come, and says at once what failed."""

    def __init__(self, out: LogLines | None) -> None:
        self._kept: dict[str, KeptLines] = {}
        self._out = out

    def of(self, host: str) -> KeptLines:
        """Return what is kept of a host."""
        from ops.fleet.remote_commands import KeptLines

        return self._kept.setdefault(host, KeptLines())

    def event(self, host: str, event: Event) -> None:
        """Take a line; whatever else an agent says is that it is still there."""
        from ops.core.plain import shown
        from ops.core.protocol import LINE

        if event.step != LINE:
            return
        kept = self.of(host)
        for line in shown(event.detail).split("\n"):
            kept.add(line)
            if self._out is not None:
                self._out.write(host, "", line)

    def finished(self, outcome: Outcome) -> None:
        """Say what kept a command from its end, or that it failed."""
        from ops.fleet.remote_commands import result_of
        from ops.render.progress import Progress

        result = result_of(outcome, self.of(outcome.host))
        if result.ok:
            return
        text = result.message if result.code is None else f"{result.host}: {result.message}"
        Progress(sys.stderr).trouble(text)

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        """Say nothing: what is left is said of each host."""
