"""One look at the settings' files before the tasks are known: the stages they name are tasks themselves.

Fabric and Invoke read -f only after they have parsed the tasks' names, and put values of files and of the environment
into place with conversions that end in a traceback; so both are looked at here first.

They have read the user's and the system's files before any code of a project runs. Those are read once more, so that
keys are text there, too. One that is no YAML, or contradicts their own defaults, ends them before that.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ops.core.accounts import home_path
from ops.core.errors import SettingsError, UsageError
from ops.core.pipeline import may_ask
from ops.shell.levels import SUFFIXES, Levels, is_data

_ENVIRONMENT_PREFIX = "FABRIC_KARAFKA_"


def at_work(program: str) -> bool:
    """Whether this process is `fab` (program `fabric`) or `inv` (`invoke`), at work on its command line."""
    return hasattr(getattr(sys.modules.get(f"{program}.main"), "program", None), "core")


def refuse_questions() -> None:
    """Refuse what Fabric would ask for where there is nobody to ask; it would end in a traceback.

    Raises
    ------
    UsageError : names the flag.
    """
    core = vars(sys.modules["fabric.main"])["program"].core
    for flag in ("prompt-for-passphrase", "prompt-for-login-password"):
        if core[0].args[flag].value and not may_ask():
            hint = "use a key without passphrase, or an agent that has it"
            raise UsageError("there is no terminal to ask on", where=f"--{flag}", hint=hint)


def forgive_ssh_config() -> None:
    """Let Fabric pass over an ssh_config that it cannot read: our tasks ask ssh what the files mean.

    It reads them before each task, knows less of them than ssh, and would end in a traceback.
    """
    config = vars(sys.modules["fabric.main"])["program"].config
    load = config._load_ssh_files

    def forgiving() -> None:
        with suppress(Exception):  # paramiko raises several kinds, of no common class
            load()

    config._set(_load_ssh_files=forgiving)


def section(argv: Sequence[str], directory: Path) -> Mapping[str, Any] | None:
    """Read the `karafka:` section of the file that -f names, else of the project's fabric.yaml.

    Parameters
    ----------
    directory : where `fab` was called; the project is here or above, where the fabfile is.

    Returns
    -------
    None where there is no file or no such section.

    Raises
    ------
    UsageError : -f names no file, or none that Fabric could read.
    SettingsError : the file is no YAML, or no mapping.
    """
    path = given_file(argv, directory) or project_file(directory, "fabfile")
    return None if path is None else section_of(path)


def checked_section(program: str, argv: Sequence[str], directory: Path, own: Mapping[str, Any]) -> Any:
    """Read `section` as `fab` or `inv` will, after a look at every file that the program at work reads or has read.

    Parameters
    ----------
    program : `fabric` or `invoke`: how its files are named.
    own : what the tasks themselves put into the configuration.

    Raises
    ------
    UsageError : -f names no file, or none that could be read.
    SettingsError : a file is no YAML, or has something that the program could not take; it names the file.
    """
    config = vars(sys.modules[f"{program}.main"])["program"].config
    module = "fabfile" if program == "fabric" else "tasks"
    given, beside = given_file(argv, directory), project_file(directory, module, program)
    levels = Levels(program.upper())
    levels.take(config.global_defaults(), f"{program.capitalize()}'s own defaults")
    levels.take(own, "the tasks' own")
    for level in ("system", "user"):
        named = getattr(config, f"_{level}_path")
        if named is not None and is_data(Path(named)):
            found = levels.read(Path(named))
            config._set(**{f"_{level}": found or {}})
    config.merge()
    sections = {path: levels.read(path) for path in (beside, given) if path is not None}
    _hand_over(config, sections)
    path = given or beside
    section = (sections[path] or {}).get("karafka") if path is not None else None
    return section if isinstance(section, Mapping) else None


def _hand_over(config: Any, read: Mapping[Path, Mapping[str, Any] | None]) -> None:
    """Let the program take what was read of a file where it would read it again: a fleet's YAML takes long to read.

    Parameters
    ----------
    config : the program's own.
    """
    left = {os.path.realpath(path): found for path, found in read.items() if found is not None}
    load = config._load_yaml

    def taken(path: str) -> Any:
        found = left.pop(os.path.realpath(path), None)
        return load(path) if found is None else found

    config._set(_load_yaml=taken, _load_yml=taken)


def given_file(argv: Sequence[str], directory: Path) -> Path | None:
    """Give the file that -f names; None where it is not there.

    Raises
    ------
    UsageError : there is no such file, or none that Fabric and Invoke could read.
    """
    named = named_file(argv)
    if named is None:
        return None
    path = directory / home_path(named)
    if not path.is_file():
        raise UsageError(f"no such file: {named}", where="-f", hint="name an existing fabric.yaml")
    if path.suffix.lstrip(".") not in (*SUFFIXES, "py"):
        raise UsageError(
            f"{named} is no name of a settings file", where="-f", hint="it ends in .yaml, .yml, .json or .py"
        )
    return path


def section_of(path: Path) -> Mapping[str, Any] | None:
    """Read a file's `karafka:` section; None where it has none, or is Python.

    Raises
    ------
    SettingsError : the file is no YAML, no mapping, or has something that Fabric could not take.
    """
    own = own_key(path, "karafka")
    return own if isinstance(own, Mapping) else None


def own_key(path: Path, key: str) -> Any:
    """Return what a file says of a key of Fabric's own; None where it has none, or is Python.

    Raises
    ------
    SettingsError : the file is no YAML, no mapping, or has something that Fabric could not take.
    """
    return (Levels("FABRIC").read(path) or {}).get(key)


def no_section(path: Path | None, where: str) -> SettingsError:
    """Return the error of a file without a `karafka:` section, with the key that may have been meant for it.

    Parameters
    ----------
    path : the file; None where there is none.
    where : what it is called in the error.
    """
    found = Levels("FABRIC").read(path) if path is not None and path.is_file() else None
    keys = list(found or {})
    near = difflib.get_close_matches("karafka", keys, n=1, cutoff=0.7)
    hint = "python -m ops init writes an annotated one"
    if near:
        hint = f"did you mean karafka, where it says {near[0]}?"
    elif "application" in keys or "stages" in keys:
        hint = "put its settings below karafka:"
    return SettingsError("no karafka: section found", where=where, hint=hint)


def project_file(directory: Path, module: str, program: str = "fabric") -> Path | None:
    """Find the settings beside the module `fabfile` or `tasks`, which is here or above."""
    folder = project_folder(directory, module)
    paths = (folder / f"{program}.{suffix}" for suffix in SUFFIXES) if folder is not None else ()
    return next((path for path in paths if path.exists()), None)


def project_folder(directory: Path, module: str) -> Path | None:
    """Find the folder of the module `fabfile` or `tasks`: here or above."""
    places = (directory, *directory.parents)
    return next((one for one in places if (one / f"{module}.py").is_file() or (one / module).is_dir()), None)


def named_file(argv: Sequence[str]) -> str | None:
    """Find what -f or --config names, in any spelling; INVOKE_RUNTIME_CONFIG where neither is there."""
    words = iter(argv)
    for word in words:
        if word == "--":
            break
        match = re.fullmatch(r"(?:--config|-[deplw]*f)(?:=(.*))?", word, flags=re.DOTALL)
        if match:
            return match[1] if match[1] is not None else next(words, None)
        short = re.fullmatch(r"-f(.+)", word, flags=re.DOTALL)
        if short:
            return short[1]
    return os.environ.get("INVOKE_RUNTIME_CONFIG")


def check_environment(environ: Mapping[str, str]) -> None:
    """Refuse values of FABRIC_KARAFKA_* that Fabric could not put into place.

    Raises
    ------
    SettingsError : names the variable.
    """
    if any(name.startswith(_ENVIRONMENT_PREFIX) for name in environ):
        from ops.core.section import from_environment

        from_environment(environ)
