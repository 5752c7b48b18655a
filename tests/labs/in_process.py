"""`fab` in the process of the test, where the promise is not about the process: its start costs more than the rest."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

FABFILE = "from ops.fleet.tasks import namespace as ns\n"


def stands_alone(folder: Path, arguments: tuple[str, ...]) -> bool:
    """Return whether a command has to be a process: it names a stage, or the project has tasks or hooks of its own.

    Both are taken in when modules are imported, which happens once in a process.
    """
    first = next((one for one in arguments if not one.startswith("-")), "")
    return first == "test" or (folder / "fabfile.py").read_text() != FABFILE


def fab(
    folder: Path, *arguments: str, code: int | None = 0, config: str = "fabric.json"
) -> subprocess.CompletedProcess[str]:
    """Run a command in a project to its end, which is to have this exit code; None for any.

    The project has one stage, which is not named: stages become tasks when the tasks are imported.
    """
    from fabric import main

    argv = ["fab", "-f", config, *arguments]
    program, out, err = main.make_program(), io.StringIO(), io.StringIO()
    ended = 0
    with (
        contextlib.chdir(folder),
        Path(os.devnull).open() as nothing,
        mock.patch.object(sys, "stdin", nothing),
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
    assert code in (None, ended), (ended, done.stdout, done.stderr)
    return done
