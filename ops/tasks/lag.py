"""`inv lag`: how far the application's consumer groups are behind, asked of the cluster from here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.core.guarded import print_json
from ops.shell.door import command

if TYPE_CHECKING:
    from ops.core.cluster import Group


@command(
    help={
        "group": "comma-separated consumer groups; all of the application without it",
        "app": "module:attribute of an app; default: KARAFKA_APP, the setting `app`",
        "json": "print JSON, with every partition",
        "watch": "show a live table until Ctrl-C",
    }
)
def lag(context: Context, group: str = "", app: str = "", json: bool = False, watch: bool = False) -> int:
    """Show how far the consumer groups are behind; exit 4 where the lag of one is unknown."""
    from ops.core.brokers import CONNECT_SECONDS, REFUSED_SECONDS, Brokers
    from ops.core.errors import UsageError
    from ops.core.lag import lag_data, lag_exit_code, lag_remarks, lag_rows
    from ops.kafka.connection import Cluster
    from ops.kafka.groups import observe
    from ops.tasks.project import know_brokers

    if watch and json:
        raise UsageError("a live table does not go with --json", where="--watch")
    know_brokers(context)
    names = _groups(context, group, app)
    with Cluster(Brokers.from_environment(os.environ), CONNECT_SECONDS, refused_seconds=REFUSED_SECONDS) as cluster:

        def look() -> Sequence[Group]:
            return observe(cluster, names)

        if watch:
            from ops.render.lag import show_live_lag

            show_live_lag(lambda: lag_rows(look()), sys.stdout)
            return 0
        groups = look()
    if json:
        print_json(lag_data(groups))
    else:
        from ops.render.lag import print_lag

        print_lag(lag_rows(groups), sys.stdout, lag_remarks(groups))
    return int(lag_exit_code(groups))


def _groups(context: Context, given: str, app: str) -> list[str]:
    """Give the groups: those named, else the app's, else for a foreign command the setting kafka.groups."""
    from ops.tasks.project import app_name, section

    named = [name for name in given.split(",") if name]
    if named:
        return named
    own = section(context) or {}
    kafka = own.get("kafka")
    foreign = kafka.get("groups") if isinstance(kafka, Mapping) else None
    if foreign and not (app or own.get("app") or os.environ.get("KARAFKA_APP")):
        return [str(name) for name in foreign]
    from ops.consumer.app import load_app

    return sorted(load_app(app or app_name(context)).groups)
