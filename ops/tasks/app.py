"""`inv flow|routes|info|server|worker|produce`: the app of this project, or the bundled ones."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.core.amounts import counted
from ops.core.guarded import print_json
from ops.shell.door import command

if TYPE_CHECKING:
    from ops.consumer.app import App
    from ops.consumer.flow import Step

_APP = "module:attribute of an app; default: KARAFKA_APP, the setting `app`"
_WORKER_PIDFILE = "tmp/pids/worker.pid"


@command(
    iterable=["app"],
    help={
        "app": f"{_APP}; several join into one picture",
        "format": "text, json, mermaid or dot",
        "check": "compare with the cluster; exit 1 and the list where topics or partitions are missing",
    },
)
def flow(context: Context, app: list[str] | None = None, format: str = "text", check: bool = False) -> int:
    """Print which topic leads to which, read from declarations alone."""
    from ops.consumer.flow import FORMATS, flow_of
    from ops.core.errors import UsageError
    from ops.render.streams import fitting

    if format not in FORMATS:
        raise UsageError(f"no format {format!r}; there are: {', '.join(FORMATS)}", where="--format")
    apps = _apps(context, app or [])
    steps = flow_of(apps)
    if not check:
        text = FORMATS[format](steps)
        print("\n".join(fitting(text.split("\n"), sys.stdout)) if format == "text" else text)
        return 0
    return _check(context, apps, steps)


@command(help={"app": _APP, "json": "print JSON"})
def routes(context: Context, app: str = "", json: bool = False) -> None:
    """Show the app's routes in full."""
    from ops.consumer.overview import route_rows
    from ops.render.streams import fitting

    rows = route_rows(_apps(context, [app] if app else [])[0])
    if json:
        print_json(rows)
        return
    for row in rows:
        lines = [row.pop("topic"), *(f"  {key + ':':<22}{value or '-'}" for key, value in row.items())]
        print("\n".join(fitting(lines, sys.stdout)))


@command(help={"app": _APP, "json": "print JSON"})
def info(context: Context, app: str = "", json: bool = False) -> None:
    """Show versions, and the app's name, groups and counts."""
    from ops.consumer.overview import facts
    from ops.render.streams import fitting

    found = facts(_apps(context, [app] if app else [])[0])
    if json:
        print_json(found)
        return
    print("\n".join(fitting((f"{key + ':':<14}{value}" for key, value in found.items()), sys.stdout)))


@command(
    help={
        "app": _APP,
        "groups": "comma-separated consumer groups; all without it",
        "daemon": "start it in the background and wait until it is ready",
        "pid": "pidfile; with --daemon tmp/pids/karafka.pid unless given",
    }
)
def server(context: Context, app: str = "", groups: str = "", daemon: bool = False, pid: str = "") -> int:
    """Run one consumer process: in the foreground, or with --daemon in the background."""
    from ops.core import description
    from ops.tasks import process
    from ops.tasks.project import know_brokers

    know_brokers(context, takes_part=True)
    reference = app or _default_app(context)
    argv = process.server_argv(reference, groups)
    asked = description.asked(os.environ)  # what the app reads: there is no process to be kept
    if daemon and not asked:
        return process.start_daemon(argv, pid or process.DEFAULT_PIDFILE)
    if pid and not asked:
        process.become(argv, pid)
    from ops.consumer.main import run_server

    return run_server(reference, tuple(group for group in groups.split(",") if group))


@command(
    help={
        "app": _APP,
        "concurrency": "jobs at the same time, each on another resource",
        "fifo": "one job after the other instead, in the order of the queue",
        "daemon": "start it in the background and wait until it is ready",
        "pid": "pidfile; with --daemon tmp/pids/worker.pid unless given",
    }
)
def worker(
    context: Context, app: str = "", concurrency: int = 16, fifo: bool = False, daemon: bool = False, pid: str = ""
) -> int:
    """Run one process that performs background jobs: in the foreground, or with --daemon in the background."""
    from ops.core import description
    from ops.tasks import process
    from ops.tasks.project import know_brokers

    know_brokers(context, takes_part=True)
    reference = app or _default_app(context)
    argv = process.worker_argv(reference, concurrency, fifo=fifo)
    asked = description.asked(os.environ)
    if daemon and not asked:
        return process.start_daemon(argv, pid or _WORKER_PIDFILE)
    if pid and not asked:
        process.become(argv, pid)
    from ops.jobs.main import run_worker

    return run_worker(reference, concurrency, fifo=fifo)


@command(
    positional=["topic"],
    help={
        "topic": "where to",
        "count": "how many messages; default: one, or every line of the file",
        "file": "send each line of this file, - for standard input; default: JSON objects with a sequence number",
    },
)
def produce(context: Context, topic: str, count: int = 0, file: str = "") -> None:
    """Send messages to a topic; all of them acknowledged before it ends."""
    from ops.tasks.producing import produce as send
    from ops.tasks.project import know_brokers

    know_brokers(context, takes_part=True)
    print(f"sent {counted(send(topic, count, file), 'message')} to {topic}")


def _default_app(context: Context) -> str:
    from ops.tasks.project import app_name

    return app_name(context)


def _apps(context: Context, references: list[str]) -> list[App]:
    from ops.consumer.app import load_app

    return [load_app(reference) for reference in (references or [_default_app(context)])]


def _check(context: Context, apps: list[App], steps: tuple[Step, ...]) -> int:
    """Compare with the cluster; says every problem."""
    from ops.consumer.flow import check
    from ops.core.brokers import CONNECT_SECONDS, REFUSED_SECONDS, Brokers
    from ops.kafka.connection import Cluster
    from ops.kafka.topics import partition_counts
    from ops.tasks.project import group_processes, know_brokers

    know_brokers(context)
    names = {name for app in apps for name in app.topic_names()}
    with Cluster(Brokers.from_environment(os.environ), CONNECT_SECONDS, refused_seconds=REFUSED_SECONDS) as cluster:
        counts = partition_counts(cluster, names)
    problems = check(steps, counts, group_processes(context, [group for app in apps for group in app.groups]))
    for problem in problems:
        print(problem)
    if any("does not exist" in one for one in problems):
        print("inv topics.apply makes what is missing", file=sys.stderr)
    if not problems:
        print(f"{len(names)} topics are there, with partitions enough")
    return 1 if problems else 0
