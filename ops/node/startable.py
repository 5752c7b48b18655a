"""Whether a process's command could be started: looked at before anything is stopped for it."""

from __future__ import annotations

import os
from pathlib import Path

from ops.core.errors import OpsError
from ops.core.keeping import PIDFILE
from ops.core.process import ProcessSpec
from ops.node import environment

_MANAGERS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # systemd.exec(5)
_SCRIPT_BYTES = 256  # that the kernel reads of a script's first line


def trouble(spec: ProcessSpec, kind: str = PIDFILE) -> str:
    """Say why a process's command could not be started; empty where nothing speaks against it.

    Looked at are the folder, the env file, the command and, of a script, its interpreter. What the command then does
    is for the gates to find out.

    Parameters
    ----------
    kind : of the manager that would start it; those other than `pidfile` have an environment of their own.
    """
    try:
        directory = environment.directory_of(spec)
        path = _path(spec, kind)
    except OpsError as error:
        return str(error).replace("\n ", ";")
    return _unrunnable(spec.command[0], directory, path) if spec.command else "there is no command"


def _path(spec: ProcessSpec, kind: str) -> str:
    """Give where commands without a folder are looked for.

    Raises
    ------
    EnvFileError : the env file is unreadable, not of mode 0600, or malformed; of processes that the agent starts.
    """
    if kind == PIDFILE:
        return environment.compose(spec)["PATH"]
    return f"{spec.env.get('PATH', os.environ.get('PATH', os.defpath))}:{_MANAGERS_PATH}"


def _unrunnable(command: str, directory: str, path: str) -> str:
    found = _found(command, directory, path)
    if found is None:
        return f"the command {command} is not in any folder of PATH ({path})"
    reason = _reason(found)
    if reason:
        return f"the command {command} cannot be run in {directory}: {reason}"
    for interpreter in _interpreters(found):
        needed = _found(interpreter, directory, path)
        reason = _reason(needed) if needed is not None else "it is not in any folder of PATH"
        if reason:
            return f"the command {command} cannot be run in {directory}: its interpreter is {interpreter}: {reason}"
    return ""


def _found(command: str, directory: str, path: str) -> Path | None:
    """Give the file that exec would take (execvp(3)); None where it searches in vain."""
    if "/" in command:
        return Path(directory, command)
    for place in path.split(os.pathsep) if command else ():
        found = Path(directory, place, command)
        if found.is_file() and os.access(found, os.X_OK):
            return found
    return None


def _reason(path: Path) -> str:
    """Say why a file cannot be executed; empty where it can."""
    if not path.exists():
        return f"it leads to {path.readlink()}, which is not there" if path.is_symlink() else "there is no such file"
    if not path.is_file():
        return "it is no file"
    return "" if os.access(path, os.X_OK) else "it is not executable"


def _interpreters(path: Path) -> list[str]:
    """Give what a script's first line names: its interpreter, and the program that `env` is to find."""
    try:
        with path.open("rb") as file:
            first = file.readline(_SCRIPT_BYTES)
    except OSError:
        return []  # it may be executed all the same
    words = first[2:].decode(errors="replace").split() if first.startswith(b"#!") else []
    if len(words) == 2 and Path(words[0]).name == "env" and "=" not in words[1]:
        return words
    return words[:1]
