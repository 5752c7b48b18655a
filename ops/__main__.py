"""`python -m ops`: begin a project (`init`), run one process of messages (`server`) or of jobs (`worker`)."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from ops import __version__
from ops.core.errors import OpsError, UsageError
from ops.core.lasting import fill_standard_streams
from ops.core.leaving import leave
from ops.core.needs import extras_named, require_linux
from ops.core.plain import shown

DEFAULT_APP = "ops.reference.sources:app"
_REQUIREMENTS = ("requirements.txt", "requirements.lock", "pyproject.toml", "uv.lock")


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; gives its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m ops", description="Deployment and ops tooling for fleets of Kafka consumers"
    )
    parser.add_argument("--version", action="version", version=f"karafka-ops {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    init = commands.add_parser(
        "init", help="write settings, fabfile.py, tasks.py and an app that can be deployed; never overwrites"
    )
    init.add_argument("directory", nargs="?", default=".", help="the project's folder (default: here)")
    init.add_argument("--application", help="its name (default: the folder's)")
    server = commands.add_parser("server", help="run one consumer process in the foreground")
    server.add_argument(
        "--app", default=os.environ.get("KARAFKA_APP", DEFAULT_APP), help="module:attribute (KARAFKA_APP)"
    )
    server.add_argument(
        "--groups",
        default=os.environ.get("KARAFKA_GROUPS", ""),
        help="comma-separated consumer groups; default: all (KARAFKA_GROUPS)",
    )
    worker = commands.add_parser("worker", help="run one process that performs an app's background jobs")
    worker.add_argument(
        "--app", default=os.environ.get("KARAFKA_APP", DEFAULT_APP), help="module:attribute (KARAFKA_APP)"
    )
    worker.add_argument(
        "--concurrency",
        type=int,
        default=os.environ.get("KARAFKA_CONCURRENCY", "16"),
        help="jobs at the same time, each on another resource (KARAFKA_CONCURRENCY, 16)",
    )
    worker.add_argument("--fifo", action="store_true", help="one job after the other, in the order of the queue")
    options = parser.parse_args(argv)
    fill_standard_streams()
    try:
        if options.command == "init":
            return _init(Path(options.directory), options.application)
        require_linux(options.command)
        with extras_named():
            return _worker(options) if options.command == "worker" else _server(options)
    except OpsError as error:
        print(f"error: {shown(str(error))}", file=sys.stderr)
        return int(error.exit_code)


def _init(directory: Path, application: str | None) -> int:
    """Write what is missing of a new project; says of every file whether it was written or kept."""
    from ops.fleet.setup.carried import carried_path, carry
    from ops.render.templates import render

    name = application or re.sub(r"[^A-Za-z0-9_.-]+", "-", directory.resolve().name).strip("-.") or "app"
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
        raise UsageError(
            f"{name!r} cannot be an application's name", where="--application", hint="letters, digits, _ . -"
        )
    module = re.sub(r"\W", "_", name) + "_app"
    files = {"fabfile.py.j2": "fabfile.py", "tasks.py.j2": "tasks.py", "fabric.yaml.j2": "fabric.yaml"}
    new = not (directory / "fabric.yaml").exists()
    if new:  # a project that is begun has its app, and its own way to pack it
        files |= {"app.py.j2": f"{module}.py", "gitignore.j2": ".gitignore", "pack.sh.j2": "pack.sh"}
    if new and not any((directory / one).exists() for one in _REQUIREMENTS):
        files["requirements.txt.j2"] = "requirements.txt"
    for record in render("project", files, application=name, module=module, wheel=carried_path()):
        path = directory / record.path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x") as file:
                file.write(record.text)
            if path.suffix == ".sh":
                path.chmod(0o755)
        except FileExistsError:
            print(f"kept    {path}")
        except OSError as error:
            raise OpsError(error.strerror or str(error), where=str(path)) from None
        else:
            print(f"wrote   {path}")
    if new:
        for word, path in carry(directory, renew=False, pipelines=()):
            print(f"{word:<7} {path}")
    print(
        "next: set hosts and brokers in fabric.yaml, then `inv topics.plan`, `fab karafka.setup` and what pack.sh says"
    )
    return 0


def _server(options: argparse.Namespace) -> int:
    """Run a server until it is told to stop."""
    from ops.consumer.main import run_server

    groups = tuple(group for group in options.groups.split(",") if group)
    return run_server(options.app, groups)


def _worker(options: argparse.Namespace) -> int:
    """Perform jobs until it is told to stop."""
    from ops.jobs.main import run_worker

    return run_worker(options.app, options.concurrency, fifo=options.fifo)


if __name__ == "__main__":
    leave(main())
