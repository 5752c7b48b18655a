"""The options that all tasks on processes share: which processes, how it is shown, whether anything is done."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any

from invoke.context import Context
from invoke.tasks import Task

from ops.shell.door import command

_HELP = {
    "hosts": "comma-separated hosts; all of the stage without it",
    "roles": "comma-separated roles",
    "processes": "comma-separated processes, such as karafka-0",
    "json": "print JSON",
    "dry-run": "print the plan, do nothing",
}


@dataclass(frozen=True)
class Options:
    """What the command line says for every task on processes; None for all there is."""

    hosts: str | None = None
    roles: str | None = None
    processes: str | None = None
    json: bool = False
    dry_run: bool = False

    @property
    def selection(self) -> tuple[str | None, str | None, str | None]:
        """Which hosts, roles and processes are named."""
        return self.hosts, self.roles, self.processes


def on_processes(**help: str) -> Callable[[Callable[..., int]], Task[Any]]:
    """Make a task of a function of context, options, and parameters of its own; the shared ones come first.

    Invoke reads a task's options off its signature, so it is given one.

    Parameters
    ----------
    help : for its own parameters.
    """

    def decorate(body: Callable[..., int]) -> Task[Any]:
        context, _, *own = inspect.signature(body).parameters.values()
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        shared = [inspect.Parameter(one.name, kind, default=one.default) for one in fields(Options)]

        @wraps(body)
        def task(context: Context, **given: Any) -> int:
            return body(context, Options(**{one.name: given.pop(one.name) for one in shared}), **given)

        vars(task)["__signature__"] = inspect.Signature([context, *shared, *own])
        return command(help={**_HELP, **{name.replace("_", "-"): text for name, text in help.items()}})(task)

    return decorate
