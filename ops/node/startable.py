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
_WRAPPERS = {"env": "ua", "nice": "n", "nohup": "", "setsid": "", "stdbuf": "ioe", "timeout": "ks"}
"""Programs that become the one that follows their options -> the options that take a value."""
_OF_NO_VALUE = ("--ignore-environment", "--foreground")
_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
_VALUE_FOLLOWS = re.compile("-[^WX]*[WX]")
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
    if not spec.command:
        return "there is no command"
    try:
        return _of_words(spec.command, directory, variables, own=kind == PIDFILE)
    except (OSError, ValueError):  # closed to this user, or no name that a file can have
        return ""


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


def _of_words(
    command: Sequence[str], directory: str, variables: Mapping[str, str], *, own: bool, by_shell: bool = False
) -> str:
    """Say why a command could not be started in a folder.

    Parameters
    ----------
    own : whether by this user and with these variables; a manager may have another user, and a PATH of its own.
    by_shell : see `executable.trouble`.
    """
    path = variables["PATH"]
    found = executable.find(command[0], directory, path)
    if found is None:
        return f"the command {command[0]} is not in any folder of PATH ({path})" if own else ""
    reason = executable.trouble(found, directory, path, own=own, by_shell=by_shell)
    if reason:
        return f"the command {command[0]} cannot be run in {directory}: {reason}"
    name = Path(command[0]).name
    if name in _WRAPPERS:
        inner = _wrapped(name, command[1:])
        return _of_words(inner, directory, variables, own=own, by_shell=True) if inner else ""
    return _of_interpreter(name, found, command, directory, variables, own=own)


def _wrapped(name: str, words: Sequence[str]) -> Sequence[str]:
    """Return the command that a program becomes; nothing where that is not plain to see."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            if word in _OF_NO_VALUE or ("=" in word and (name != "env" or word.startswith("--unset="))):
                continue
            return ()
        if name == "env" and set(word) & {"S", "C", "P"}:
            return ()
        value = next((at for at, letter in enumerate(word) if letter in _WRAPPERS[name]), 0)
        if value and value == len(word) - 1:
            rest = rest[1:]
    if name == "timeout":
        rest = rest[1:]
    while name == "env" and rest and "=" in rest[0]:
        if rest.pop(0).startswith("PATH="):
            return ()
    return rest


def _of_interpreter(
    name: str, found: Path, command: Sequence[str], directory: str, variables: Mapping[str, str], *, own: bool
) -> str:
    """Say what an interpreter would look for in vain: the script, or Python's module, that its first words name."""
    words = list(command[1:])
    python = _PYTHON.fullmatch(name) is not None
    if not python and name not in _SCRIPTS:
        return ""
    options = []
    while python and words and re.fullmatch(r"-[ABD-Za-bd-gi-ln-z]+", words[0]):
        options.append(words.pop(0))
        if _VALUE_FOLLOWS.fullmatch(options[-1]):
            options += words[:1]
            words = words[1:]
    if python and len(words) > 1 and words[0] == "-m":
        return _of_module(str(found), options, words[1], directory, variables, own=own)
    if not words or words[0].startswith(("-", "+")):
        return ""
    places = [directory]
    if name in _SHELLS and "/" not in words[0]:  # which look for it in PATH, too, whatever its mode
        places += variables["PATH"].split(os.pathsep)
    if any(Path(directory, place, words[0]).exists() for place in places):
        return ""
    return f"the command {command[0]} cannot be run in {directory}: there is no {words[0]}"


def _of_module(
    python: str, options: Sequence[str], module: str, directory: str, variables: Mapping[str, str], *, own: bool
) -> str:
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
    home = Path(directory, python).parent.parent
    for site in home.glob("lib/python3*/*-packages"):
        if (site / first).is_dir() or (site / f"{first}.py").exists():
            return ""
    if not own and not (home / "pyvenv.cfg").exists():  # its user may have modules in the home folder
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
