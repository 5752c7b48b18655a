"""`inv jobs.show`: the queue of background jobs."""

from __future__ import annotations

import json as jsons
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.core.guarded import print_json
from ops.shell.door import command

if TYPE_CHECKING:
    from ops.consumer.app import App

_APP = "module:attribute of an app; default: KARAFKA_APP, the setting `app`"


@command(
    help={
        "app": _APP,
        "json": "print JSON",
        "watch": "show it every two seconds with a plot of its depth, until Ctrl-C",
    }
)
def show(context: Context, app: str = "", json: bool = False, watch: bool = False) -> int:
    """Show how many jobs are not finished, by worker's class, how many run, and how old they are."""
    from ops.core.brokers import Brokers
    from ops.core.errors import UsageError
    from ops.jobs.queue import QueueLook
    from ops.render.jobs import queue_lines, watch_queue
    from ops.render.streams import width_of_terminal

    if watch and json:
        raise UsageError("a live plot does not go with --json", where="--watch")
    jobs = _worker_app(context, app)
    (route,) = jobs.routes
    look = QueueLook(Brokers.from_environment(os.environ), route.source, route.group)
    try:
        if watch:
            watch_queue(lambda: (look.look().as_json(), _running(context, route.group)), sys.stdout)
            return 0
        queue, running = look.look().as_json(), _running(context, route.group)
    finally:
        look.close()
    if json:
        print_json({**queue, "running": running})
    else:
        print("\n".join(queue_lines(queue, running, width_of_terminal(sys.stdout))))
    return 0


def _worker_app(context: Context, app: str) -> App:
    from ops.consumer.app import load_app
    from ops.jobs import worker_app
    from ops.tasks.project import app_name, know_brokers

    know_brokers(context)
    return worker_app(load_app(app or app_name(context)))


def _running(context: Context, group: str) -> int | None:
    """Count the jobs in work on this host, by its processes' own word; None without a project."""
    from ops.core.errors import SettingsError
    from ops.node.location import located
    from ops.tasks.project import place

    try:
        specs = place(context).all_specs
    except SettingsError:
        return None
    running = 0
    for spec in specs:
        try:
            record = jsons.loads(Path(located(spec).files.status).read_text())
            running += int(record["groups"][group]["running"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return running
