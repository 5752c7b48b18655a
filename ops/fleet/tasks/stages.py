"""Stages as tasks: `fab production karafka.restart`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.tasks import Task

from ops.core.amounts import counted
from ops.core.errors import OpsError, SettingsError, UsageError
from ops.fleet.tasks.own_namespace import complete_before_parsing
from ops.shell import early
from ops.shell.door import as_exit, command
from ops.shell.remainder import take_remainder

CHOSEN = "chosen_stage"  # where the configuration keeps the name that a stage's task has set


def add_stages(namespace: Collection) -> None:
    """Add a task for every stage that the settings' file names.

    Raises
    ------
    Exit : code 2; the file is wrong, or a stage is named like a task or collection.
    """
    try:
        _add(namespace)
    except OpsError as error:
        if not early.at_work("fabric"):  # imported by something else: there is no command line to refuse
            return
        raise as_exit(error) from None


def refuse_idle(stages: Iterable[str]) -> None:
    """Refuse a command line that ends in a stage: what stands before it would be done to another one.

    Parameters
    ----------
    stages : their names.

    Raises
    ------
    UsageError : no task comes after one of them.
    """
    program = getattr(sys.modules.get("fabric.main"), "program", None)
    asked = [one.name for one in getattr(program, "tasks", ())]
    last = next((name for name in stages if asked and asked[-1] == name), None)
    if last is not None:
        before = " ".join(name for name in asked[:-1] if name != asked[-1]) or "karafka.status"
        raise UsageError("it is for the tasks after it, and there are none", where=last, hint=f"fab {last} {before}")


def _add(namespace: Collection) -> None:
    if early.at_work("fabric"):
        early.check_environment(os.environ)
        early.refuse_questions()
        early.forgive_ssh_config()
        take_remainder()
        section = early.checked_section("fabric", sys.argv[1:], Path.cwd(), {CHOSEN: ""})
    else:
        section = early.section([], Path.cwd())
    stages = section.get("stages") if section is not None else None
    made = {}
    for name, own in stages.items() if isinstance(stages, dict) else ():
        hosts = own.get("hosts") if isinstance(own, dict) else None
        count = len(hosts) if isinstance(hosts, list) else 0
        made[str(name)] = _add_stage(
            namespace, str(name), f"Stage {name} ({counted(count, 'host')}) for the tasks after it."
        )
    if early.at_work("fabric"):
        complete_before_parsing(made)


def _add_stage(namespace: Collection, name: str, text: str) -> Task[Any]:
    def choose(context: Context) -> None:
        refuse_idle((name,))
        context.config[CHOSEN] = name

    choose.__doc__ = text
    taken = {*namespace.tasks, *namespace.collections, *namespace.tasks.aliases}
    if name in taken or not name or name.startswith("-") or "." in name:
        what = "a stage can't be named like a task" if name in taken else "no name that a task can have"
        raise SettingsError(f"{what}: {name!r}", where=f"karafka.stages.{name}", hint="rename the stage")
    typed = namespace.transform(name)
    if typed != name:
        what = f"no name that a task can have: for {name!r} Fabric knows {typed!r} alone"
        raise SettingsError(what, where=f"karafka.stages.{name}", hint=f"rename the stage, to {typed}")
    stage = command()(choose)
    namespace.add_task(stage, name)
    return stage
