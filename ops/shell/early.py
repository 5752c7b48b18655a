"""One look at the settings' file before the tasks are known: the stages it names are tasks themselves.

Fabric and Invoke read -f only after they have parsed the tasks' names, and put values of the environment into place
with conversions that end in a traceback; so both are looked at here first. A key is text, whatever YAML 1.1 makes of
it (`on` is true there): here, and where Fabric and Invoke read the same file after us.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ops.core.errors import SettingsError, UsageError
from ops.core.pipeline import may_ask

SUFFIXES = ("yaml", "yml", "json")
_ENVIRONMENT_PREFIX = "FABRIC_KARAFKA_"
_TAG = "tag:yaml.org,2002:"
_SCALAR_KEYS = {f"{_TAG}{kind}" for kind in ("str", "bool", "int", "float", "null", "timestamp", "value")}


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


def given_file(argv: Sequence[str], directory: Path) -> Path | None:
    """Give the file that -f names; None where it is not there.

    Raises
    ------
    UsageError : there is no such file, or none that Fabric and Invoke could read.
    """
    named = named_file(argv)
    if named is None:
        return None
    path = directory / Path(named).expanduser()
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
    SettingsError : the file is no YAML, no mapping, or has something in the section that Fabric could not take.
    """
    if path.suffix.lstrip(".") not in SUFFIXES:
        return None
    found = _read(path)
    if found is not None and not isinstance(found, Mapping):
        raise SettingsError(f"expected a mapping, got {str(found)[:40]!r}", where=str(path))
    own = found.get("karafka") if found is not None else None
    _check_values(own, "karafka", frozenset())
    if not isinstance(own, Mapping):
        return None
    _check_names(own, ("karafka",), {})
    return own


def project_file(directory: Path, module: str) -> Path | None:
    """Find the settings beside the module `fabfile` or `tasks`, which is here or above."""
    folder = project_folder(directory, module)
    paths = (folder / f"fabric.{suffix}" for suffix in SUFFIXES) if folder is not None else ()
    return next((path for path in paths if path.is_file()), None)


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


def _check_values(value: Any, where: str, above: frozenset[int]) -> None:
    """Refuse what is no text, number, truth value, list or mapping, and what contains itself."""
    if isinstance(value, (Mapping, list)):
        if id(value) in above:
            raise SettingsError("it contains itself", where=where)
        inside = above | {id(value)}
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            if isinstance(value, Mapping) and not isinstance(key, str):
                raise SettingsError(f"expected text for a key, got {key!r}", where=where, hint="put it in quotes")
            _check_values(item, f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}", inside)
    elif value is not None and not isinstance(value, (str, int, float)):
        what = f"expected text, a number, true, false, a list or a mapping, got {type(value).__name__}: {value!s:.80}"
        raise SettingsError(what, where=where, hint="put it in quotes")


def _check_names(inside: Mapping[str, Any], path: tuple[str, ...], seen: dict[str, str]) -> None:
    """Refuse keys that would have the same name in the environment: Fabric ends in a traceback there."""
    for key, value in inside.items():
        where = (*path, key)
        if isinstance(value, Mapping):
            _check_names(value, where, seen)
            continue
        variable = "_".join(where).upper()
        other = seen.setdefault(variable, ".".join(where))
        if other != ".".join(where):
            raise SettingsError(
                f"it and {other} would both be FABRIC_{variable} in the environment, which Fabric refuses",
                where=".".join(where),
                hint="rename one of the two",
            )


def _read(path: Path) -> Any:
    from invoke import util

    yaml: Any = vars(util)["yaml"]  # the one that Fabric itself reads with
    yaml.add_constructor(f"{_TAG}map", _mapping, Loader=yaml.SafeLoader)
    try:
        return yaml.safe_load(path.read_text())
    except (yaml.YAMLError, ValueError, OSError, RecursionError) as error:
        raise SettingsError(" ".join(str(error).split()), where=str(path)) from None


def _mapping(loader: Any, node: Any) -> Iterator[dict[Any, Any]]:
    """Construct a mapping as PyYAML does, empty first as it may contain itself, but with keys as they are written."""
    made: dict[Any, Any] = {}
    yield made
    loader.flatten_mapping(node)  # merges: <<
    for key, value in node.value:
        if key.tag in _SCALAR_KEYS:
            made[key.value] = loader.construct_object(value)
        else:  # it is refused here, by its line, or as no text
            made.update(loader.construct_mapping(type(node)(node.tag, [(key, value)], node.start_mark)))
