"""`fab karafka.lag`: how far the consumer groups are behind, asked through a host of the fleet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.shell.door import command

if TYPE_CHECKING:
    from ops.core.cluster import Group
    from ops.core.settings import Settings
    from ops.fleet.report import Outcome
    from ops.fleet.transport import Transport


@command(
    help={
        "group": "comma-separated consumer groups; all of the application without it",
        "json": "print JSON, with every partition",
        "watch": "show a live table until Ctrl-C",
    }
)
def lag(context: Context, group: str = "", json: bool = False, watch: bool = False) -> int:
    """Show how far the consumer groups are behind; exit 4 where the lag of one is unknown."""
    from ops.core.asking import Ask
    from ops.core.errors import UsageError
    from ops.core.lag import lag_data, lag_exit_code, lag_remarks, lag_rows
    from ops.fleet.survey import ask_cluster
    from ops.fleet.tasks.project import load_settings, make_transport

    if watch and json:
        raise UsageError("a live table does not go with --json", where="--watch")
    settings = load_settings(context)
    transport = make_transport(context, settings)
    outcomes = _outcomes(settings, transport)
    names = tuple(name.strip() for name in group.split(",") if name.strip()) or _groups(settings, outcomes)

    def look() -> Sequence[Group]:
        return ask_cluster(settings, transport, Ask.LAG, names, outcomes).groups

    if watch:
        from ops.render.lag import show_live_lag

        show_live_lag(lambda: lag_rows(look()), sys.stdout, settings.stage)
        return 0
    groups = look()
    if json:
        from ops.fleet.tasks.showing import print_json

        print_json(lag_data(groups))
    else:
        from ops.render.lag import print_lag

        print_lag(lag_rows(groups), sys.stdout, lag_remarks(groups))
    return int(lag_exit_code(groups))


def _outcomes(settings: Settings, transport: Transport) -> tuple[Outcome, ...]:
    """Look which hosts answer, and what their processes tell."""
    from ops.core.protocol import Verb
    from ops.fleet.inventory import Selection, select
    from ops.fleet.plan import make_plan
    from ops.fleet.rollout import carry_out
    from ops.fleet.tasks.showing import Silent

    report = carry_out(make_plan(settings, select(settings, Selection()), Verb.STATUS), transport, Silent())
    if report.interrupted:
        raise KeyboardInterrupt
    return report.outcomes


def _groups(settings: Settings, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Give the groups that the settings name for a foreign command, else those that the processes tell.

    Raises
    ------
    UsageError : nobody tells any.
    UnreachableError : no host answered.
    """
    from ops.core.errors import UnreachableError, UsageError
    from ops.core.survey import known_groups
    from ops.fleet.report import Kind
    from ops.fleet.survey import host_reports

    if settings.app is None and settings.kafka.groups:
        return settings.kafka.groups
    found = known_groups(host_reports(settings, outcomes))
    if found:
        return found
    hint = "--group a,b names them; for commands that do not tell their groups, kafka.groups of the settings does"
    if not any(one.kind is Kind.ANSWERED for one in outcomes):
        troubles = "; ".join(one.trouble.splitlines()[0] for one in outcomes if one.trouble)
        raise UnreachableError(f"no host tells which groups there are: {troubles}", hint=hint)
    raise UsageError("no process tells its consumer groups", where=f"stage {settings.stage}", hint=hint)
