"""Whether a process's command could be started: looked at before anything is stopped for it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from ops.core import envfile
from ops.core.envfile import EnvFileError
from ops.core.errors import OpsError
from ops.core.keeping import PIDFILE
from ops.core.process import ProcessSpec
from ops.core.regular import content_of
from ops.node import environment, executable

_MANAGERS_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # systemd.exec(5)
_WRAPPERS = {"env": "u", "nice": "n", "nohup": "", "setsid": "", "stdbuf": "ioe", "timeout": "ks"}
"""Programs that become the one that follows their options -> the options that take the next word."""
_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
_PYTHONS_VALUES = "WX"
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh")
_SCRIPTS = (*_SHELLS, "ruby", "perl")
_MODULE_SECONDS = 10.0
_HAS_NONE = 3
_HAS = f"import sys, importlib.util as u; sys.exit({_HAS_NONE} if u.find_spec(sys.argv[1]) is None else 0)"


def trouble(spec: ProcessSpec, kind: str = PIDFILE) -> str:
    """Say why a process's command could not be started; empty where nothing speaks against it.

    Looked at are the folder, the env file, the command - behind `env`, `nice` and the like, too -, of a script its
    interpreter, and of an interpreter its script or module. What the command then does is for the gates to find out.

    Parameters
    ----------
    kind : of the manager that would start it; those other than `pidfile` have an environment of their own.
    """
    try:
        directory = environment.directory_of(spec)
        variables = _variables(spec, kind)
    except OpsError as error:
        return str(error).replace("\n ", ";")
    return _of_words(spec.command, directory, variables) if spec.command else "there is no command"


def _variables(spec: ProcessSpec, kind: str) -> Mapping[str, str]:
    """Return the environment by which commands and modules are looked for.

    Raises
    ------
    EnvFileError : the env file is unreadable, not of mode 0600, or malformed.
    """
    if kind == PIDFILE:
        return environment.compose(spec)
    try:
        own = envfile.read(Path(spec.env_file)) if spec.env_file else {}
    except EnvFileError:
        if _is_judged_alike(Path(spec.env_file)):
            raise
        own = {}
    found = {"PATH": os.environ.get("PATH", os.defpath), **spec.env, **own}
    return {**found, "PATH": f"{found['PATH']}:{_MANAGERS_PATH}"}


def _is_judged_alike(env_file: Path) -> bool:
    """Whether the user as whom a manager starts the process, should it be another one, refuses an env file, too."""
    try:
        facts = env_file.stat()
    except OSError:
        return False
    return facts.st_uid == os.geteuid() or bool(facts.st_uid == 0 and stat.S_IMODE(facts.st_mode) & 0o037)


def _of_words(command: Sequence[str], directory: str, variables: Mapping[str, str]) -> str:
    """Say why a command could not be started in a folder."""
    path = variables["PATH"]
    found = executable.find(command[0], directory, path)
    if found is None:
        return f"the command {command[0]} is not in any folder of PATH ({path})"
    reason = executable.trouble(found, directory, path)
    if reason:
        return f"the command {command[0]} cannot be run in {directory}: {reason}"
    name = Path(command[0]).name
    if name in _WRAPPERS:
        inner = _wrapped(name, command[1:])
        return _of_words(inner, directory, variables) if inner else ""
    return _of_interpreter(name, found, command, directory, variables)


def _wrapped(name: str, words: Sequence[str]) -> Sequence[str]:
    """Return the command that a program becomes; nothing where that is not plain to see."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--") and "=" not in word and word not in ("--ignore-environment", "--foreground"):
            return ()
        if name == "env" and word[1:2] in ("S", "C", "P"):
            return ()
        if len(word) == 2 and word[1] in _WRAPPERS[name]:
            rest = rest[1:]
    if name == "timeout":
        rest = rest[1:]
    while name == "env" and rest and "=" in rest[0]:
        if rest.pop(0).startswith("PATH="):
            return ()
    return rest


def _of_interpreter(
    name: str, found: Path, command: Sequence[str], directory: str, variables: Mapping[str, str]
) -> str:
    """Say what an interpreter would look for in vain: the script, or Python's module, that its first words name."""
    words = list(command[1:])
    python = _PYTHON.fullmatch(name) is not None
    if not python and name not in _SCRIPTS:
        return ""
    options = []
    while python and words and re.fullmatch(r"-[ABD-Za-bd-gi-ln-z]+", words[0]):
        options.append(words.pop(0))
        if options[-1][-1] in _PYTHONS_VALUES and len(options[-1]) == 2:
            options += words[:1]
            words = words[1:]
    if python and len(words) > 1 and words[0] == "-m":
        return _of_module(str(found), options, words[1], directory, variables)
    if not words or words[0].startswith("-"):
        return ""
    in_path = (
        name in _SHELLS and "/" not in words[0] and executable.find(words[0], directory, variables["PATH"]) is not None
    )
    if in_path or Path(directory, words[0]).exists():
        return ""
    return f"the command {command[0]} cannot be run in {directory}: there is no {words[0]}"


def _of_module(python: str, options: Sequence[str], module: str, directory: str, variables: Mapping[str, str]) -> str:
    """Say that Python has no such module; nothing is imported for that.

    The first part of its name alone is asked for: for what follows, Python would run the package.
    """
    where = f"the command {python} -m {module} cannot be run in {directory}"
    first, _, inner = module.partition(".")
    here = Path(directory, first)
    if not any(re.match("-[A-Za-z]*[IP]", one) for one in options):
        if (here / "__init__.py").exists():
            below = here.joinpath(*inner.split("."))
            is_there = below.is_dir() or any(below.parent.glob(f"{below.name}.*"))
            return "" if is_there or _has_a_path_of_its_own(here) else f"{where}: there is no module {module}"
        if here.with_suffix(".py").exists():
            return ""
    for site in Path(directory, python).parent.parent.glob("lib/python3*/*-packages"):
        if (site / first).is_dir() or (site / f"{first}.py").exists():
            return ""
    from ops.node.streaming import run

    try:
        argv = [python, *options, "-c", _HAS, first]
        ended = run(argv, _MODULE_SECONDS, directory=Path(directory), env=variables)
    except OpsError:
        return ""
    return f"{where}: there is no module {module}" if ended.code == _HAS_NONE else ""


def _has_a_path_of_its_own(package: Path) -> bool:
    """Whether a package looks for its modules elsewhere, too."""
    try:
        return b"__path__" in content_of(package / "__init__.py")
    except OSError:
        return True
