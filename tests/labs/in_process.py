"""`fab` and `inv` in the process of the test, where the promise is not about the process: its start costs the most."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from unittest import mock

if TYPE_CHECKING:
    from invoke.program import Program

FABFILE = "from ops.fleet.tasks import namespace as ns\n"


def fab(
    folder: Path,
    *arguments: str,
    code: int | None = 0,
    config: str = "fabric.json",
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a project to its end.

    Parameters
    ----------
    code : the exit code that it is to have; None for any.
    config : the file that -f names; empty for none.
    env : the whole environment; None for the test's own.
    """
    from fabric import main

    from ops.fleet.deploy import hooks

    named = ("-f", config) if config else ()
    with mock.patch.object(hooks, "_registered", []):  # functions of fabfiles that were read before
        return _run(folder, ["fab", *named, *arguments], main, main.make_program(), "ops.fleet.tasks", code, env)


def inv(
    folder: Path, *arguments: str, code: int | None = 0, env: Mapping[str, str] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command on this host to its end; see `fab`.

    Parameters
    ----------
    text : its standard input.
    """
    from invoke import main
    from invoke.program import Program

    program = Program(name="Invoke", binary="inv[oke]", binary_names=["invoke", "inv"])
    return _run(folder, ["inv", *arguments], main, program, "ops.tasks", code, env, text)


def _run(
    folder: Path,
    argv: list[str],
    main: ModuleType,
    program: Program,
    tasks: str,
    code: int | None,
    env: Mapping[str, str] | None,
    text: str = "",
) -> subprocess.CompletedProcess[str]:
    out, err = io.StringIO(), io.StringIO()
    ended = 0
    with (
        contextlib.chdir(folder),
        _imports_undone(folder, tasks),
        mock.patch.dict(os.environ, env or {}, clear=env is not None),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode()))),
        mock.patch.object(sys, "argv", argv),
        mock.patch.object(main, "program", program),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            program.run(argv)
        except SystemExit as error:
            ended = error.code if isinstance(error.code, int) else int(error.code is not None)
    done = subprocess.CompletedProcess(argv, ended, out.getvalue(), err.getvalue())
    assert "Traceback" not in done.stderr, done.stderr
    assert code in (None, ended), (ended, done.stdout, done.stderr)
    return done


@contextlib.contextmanager
def _imports_undone(folder: Path, tasks: str) -> Iterator[None]:
    """Let a project's modules be imported anew, and the tasks: they look at its settings for stages when they are."""
    kept = sys.modules.pop(tasks, None)
    before, place = {*sys.modules}, f"{folder.absolute()}/"
    with mock.patch.object(sys, "path", [*sys.path]):
        try:
            yield
        finally:
            for name in {*sys.modules} - before:
                path = getattr(sys.modules[name], "__file__", None) or ""
                if path.startswith(place) and "/" not in path.removeprefix(place):
                    del sys.modules[name]
            if kept is not None:
                sys.modules[tasks] = kept
