"""A fabfile's own namespace: it gets the stages, too, and what it lacks is said with the line that adds it.

Invoke takes `ns` or `namespace` of a fabfile where there is one, and nothing else of it; else all of its tasks and
collections, and no stage.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from invoke.exceptions import ParseError
from invoke.tasks import Task

from ops.core.errors import OpsError, SettingsError
from ops.shell.door import as_exit

_bodies: set[Callable[..., Any]] = set()  # of all stages' tasks: a fabfile may have added them itself
_TAKING = frozenset({"karafka.exec"})  # tasks that take what follows `--`
_NEAR = 3
_MARK = "completes_namespaces"
_UNKNOWN = re.compile(r"No idea what '(.+)' is!")


def complete_before_parsing(stages: Mapping[str, Task[Any]]) -> None:
    """Add stages to whatever namespace the fabfile has in the end, right before Fabric looks for tasks.

    Parameters
    ----------
    stages : the task of each.
    """
    _bodies.update(one.body for one in stages.values())
    program = vars(sys.modules["fabric.main"])["program"]
    if getattr(program, _MARK, False):
        return
    setattr(program, _MARK, True)
    parse: Callable[[], None] = program.parse_tasks

    def completed() -> None:
        try:
            _add(program.collection, stages)
        except OpsError as error:
            raise as_exit(error) from None
        try:
            parse()
        except ParseError as error:
            hint = _hint(str(error), program, stages)
            raise ParseError(f"{error}\n  {hint}", error.context) if hint else error from None

    program.parse_tasks = completed


def _add(collection: Any, stages: Mapping[str, Task[Any]]) -> None:
    """Add those that are missing.

    Raises
    ------
    SettingsError : a task or collection of the fabfile's own has the name of one.
    """
    for name, stage in stages.items():
        own = collection.tasks.get(name) or collection.collections.get(name)
        if own is None:
            collection.tasks[name] = stage
        elif getattr(own, "body", None) not in _bodies:
            raise SettingsError(
                f"a stage can't be named like a task: {name!r}",
                where=f"karafka.stages.{name}",
                hint="rename the stage, or the task in the fabfile",
            )


def _hint(text: str, program: Any, stages: Collection[str]) -> str:
    """Say how a name that Fabric does not know gets into the namespace, or what was meant; empty for other errors."""
    match = _UNKNOWN.search(text)
    if match is None:
        return ""
    name = match[1]
    fabfile = vars(sys.modules.get(program.args.collection.value or program.config.tasks.collection_name) or object)
    own = fabfile.get(name.replace("-", "_"))
    if isinstance(own, Task):
        return f"the fabfile has it beside its namespace: ns.add_task({name.replace('-', '_')})"
    from ops.fleet.tasks import namespace

    collection = name.partition(".")[0]
    if collection in namespace.collections and name in namespace.task_names:
        own_one = f"to one of your own: from ops.fleet.tasks import {collection}; ns.add_collection({collection})"
        return f"`from ops.fleet.tasks import namespace as ns` has all of ours; {own_one}"
    before = [word for word in program.core.unparsed[: _place(program.core.unparsed, name)] if word in _TAKING]
    if before:
        return f"a command for the hosts comes after `--`: fab {before[-1]} -- {name} ..."
    known = list(dict.fromkeys((*program.collection.task_names, *stages)))
    near = [one for one in known if one.startswith(name)][:_NEAR]
    near = near or difflib.get_close_matches(name, known, n=_NEAR, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(near)}?"
    named = f"stages: {', '.join(stages)}; " if stages else ""
    return f"{named}tasks: fab --list"


def _place(words: Sequence[str], name: str) -> int:
    return words.index(name) if name in words else len(words)
