"""Hooks: functions of the user's fabfile, executables in .karafka/hooks, and the restart that every deploy ends with.

@before("deploy:publishing")
def announce(context, deploy): ...
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from inspect import isasyncgenfunction, iscoroutinefunction, isgeneratorfunction
from pathlib import Path
from typing import Any, TypeVar

from ops.core.errors import UsageError
from ops.core.release import HOOK_FILE

FOLDER = ".karafka/hooks"
STAGES = (
    *("starting", "started", "updating", "updated", "publishing", "published", "finishing", "finished"),
    *("reverting", "reverted", "finishing_rollback", "failed"),
)
_PREFIX = "deploy:"
Body = TypeVar("Body", bound=Callable[..., Any])


class Kind(StrEnum):
    """What a hook is."""

    PYTHON = "python"  # a function, called here
    LOCAL = "local"  # an executable, run here
    HOSTS = "hosts"  # an executable, run on all hosts
    RESTART = "restart"  # karafka.restart


@dataclass(frozen=True)
class Hook:
    """One hook.

    Attributes
    ----------
    name : as it is shown.
    body : of a function: called with Invoke's context and the facts of the deploy.
    path : of an executable.
    """

    name: str
    kind: Kind
    when: str
    stage: str
    body: Callable[..., Any] | None = None
    path: Path | None = None

    @property
    def where(self) -> str:
        """Where it runs, in words."""
        return {Kind.HOSTS: "on the hosts", Kind.RESTART: "the rollout"}.get(self.kind, "here")


RESTART = Hook("karafka.restart", Kind.RESTART, "after", "finished")
_registered: list[Hook] = []


def before(stage: str) -> Callable[[Body], Body]:
    """Call a function before a stage: `@before("deploy:publishing")`.

    It is called with Invoke's context and the facts of the deploy (`ops.fleet.deploy.facts.Facts`), on the operator's
    machine; what it raises ends the deploy.

    Raises
    ------
    UsageError : there is no such stage, or calling the function would run nothing of it: it is a generator or async.
    """
    return _register("before", stage)


def after(stage: str) -> Callable[[Body], Body]:
    """Call a function after a stage; see `before`."""
    return _register("after", stage)


def _register(when: str, stage: str) -> Callable[[Body], Body]:
    name = stage.removeprefix(_PREFIX)
    if name not in STAGES:
        raise UsageError(f"no stage {stage!r}; there are: {', '.join(STAGES)}", where=f"@{when}")

    def decorate(body: Body) -> Body:
        called = getattr(body, "__name__", str(body))
        if any(lazy(body) for lazy in (isgeneratorfunction, iscoroutinefunction, isasyncgenfunction)):
            what = f"{called} would be called, and nothing of it would run: it is async, or has a yield"
            raise UsageError(what, where=f"@{when}", hint="a hook is a plain function; call asyncio.run in it")
        _registered.append(Hook(called, Kind.PYTHON, when, name, body=body))
        return body

    return decorate


def functions() -> tuple[Hook, ...]:
    """Give the functions that are registered, in their order."""
    return tuple(_registered)


def executables(directory: Path, places: Mapping[str, str]) -> tuple[Hook, ...]:
    """Give the executables below a project's folder, by name.

    Parameters
    ----------
    places : file name -> `local` or `hosts`; local where it is not there.

    Raises
    ------
    UsageError : a file is named like no hook, or cannot be executed; a hook of the settings is not there.
    """
    folder, found = directory / FOLDER, []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        match = HOOK_FILE.fullmatch(path.name)
        if match is None or match["stage"] not in STAGES:
            what = f"no name of a hook: before-<stage> or after-<stage>, stages: {', '.join(STAGES)}"
            raise UsageError(what, where=str(path))
        if not os.access(path, os.X_OK) or not path.is_file():
            raise UsageError("it cannot be executed", where=str(path), hint=f"chmod +x {path}")
        found.append(Hook(path.name, Kind(places.get(path.name, "local")), match["when"], match["stage"], path=path))
    missing = set(places) - {one.name for one in found}
    if missing:
        raise UsageError(f"there is no such executable in {folder}", where=f"karafka.hooks.{min(missing)}")
    return tuple(found)


def around(hooks: Sequence[Hook], when: str, stage: str) -> tuple[Hook, ...]:
    """Give the hooks before or after a stage, in their order."""
    return tuple(one for one in hooks if one.when == when and one.stage == stage)


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Let what a function starts inherit variables."""
    before_that = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before_that.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
