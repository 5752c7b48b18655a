"""One look at the settings' files before the tasks are known: the stages they name are tasks themselves.

Fabric and Invoke read -f only after they have parsed the tasks' names, and put values of files and of the environment
into place with conversions that end in a traceback; so both are looked at here first. A key is text, whatever YAML 1.1
makes of it (`on` is true there): here, and where Fabric and Invoke read the same file after us.

They have read the user's and the system's files before any code of a project runs. Those are read once more, so that
keys are text there, too. One that is no YAML, or contradicts their own defaults, ends them before that.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.core.errors import SettingsError, UsageError
from ops.core.pipeline import may_ask

SUFFIXES = ("yaml", "yml", "json")
_ENVIRONMENT_PREFIX = "FABRIC_KARAFKA_"
_DEEPEST = 50  # mappings within each other: Invoke goes down by calls within calls
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
    levels = _Levels(program.upper())
    levels.take(config.global_defaults(), f"{program.capitalize()}'s own defaults")
    levels.take(own, "the tasks' own")
    for level in ("system", "user"):
        named = getattr(config, f"_{level}_path")
        if named is not None and _is_data(Path(named)):
            found = levels.read(Path(named))
            config._set(**{f"_{level}": found or {}})
    config.merge()
    sections = {path: levels.read(path) for path in (beside, given) if path is not None}
    path = given or beside
    section = (sections[path] or {}).get("karafka") if path is not None else None
    return section if isinstance(section, Mapping) else None


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
    SettingsError : the file is no YAML, no mapping, or has something that Fabric could not take.
    """
    own = (_Levels("FABRIC").read(path) or {}).get("karafka")
    return own if isinstance(own, Mapping) else None


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


@dataclass
class _Levels:
    """Files that are merged one into the other, and what Invoke could not merge.

    Parameters
    ----------
    prefix : of the variables that override single values.
    """

    prefix: str
    _mappings: dict[tuple[str, ...], bool] = field(default_factory=dict)  # of each key path: whether it is one
    _origins: dict[tuple[str, ...], str] = field(default_factory=dict)
    _variables: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def read(self, path: Path) -> Mapping[str, Any] | None:
        """Read a file; None where it is empty, or Python.

        Raises
        ------
        SettingsError : it cannot be read, or not be merged with those before.
        """
        if not _is_data(path):
            return None
        found = _read(path)
        if found is None:
            return None
        if not isinstance(found, Mapping):
            raise SettingsError(f"expected a mapping, got {str(found)[:40]!r}", where=str(path))
        try:
            _check_keys(found, "", ())
            _check_values(found.get("karafka"), "karafka", frozenset())
            self.take(found, str(path))
        except SettingsError as error:
            where = f"{path}: {error.where}" if error.where else str(path)
            raise SettingsError(error.what, where=where, hint=error.hint) from None
        return found

    def take(self, data: Mapping[str, Any], origin: str, above: tuple[str, ...] = ()) -> None:
        """Merge one more.

        Raises
        ------
        SettingsError : Invoke could not; it names the key path.
        """
        for key, value in data.items():
            where = (*above, key)
            mapping = isinstance(value, Mapping)
            if self._mappings.setdefault(where, mapping) is not mapping:
                one, other = ("a mapping", "no mapping") if mapping else ("no mapping", "a mapping")
                what = f"it is {one} here, and {other} in {self._origins[where]}"
                raise SettingsError(what, where=".".join(where), hint="write both alike, or leave one out")
            self._origins.setdefault(where, origin)
            if mapping:
                self.take(value, origin, where)
            else:
                self._name(where, origin)

    def _name(self, where: tuple[str, ...], origin: str) -> None:
        """Refuse keys that would have the same name in the environment."""
        variable = "_".join(where).upper()
        other = self._variables.setdefault(variable, where)
        if other == where:
            return
        there = self._origins[other]
        raise SettingsError(
            f"it and {'.'.join(other)}{'' if there == origin else f' of {there}'} would both be"
            f" {self.prefix}_{variable} in the environment, which {self.prefix.capitalize()} refuses",
            where=".".join(where),
            hint="rename one of the two",
        )


def _is_data(path: Path) -> bool:
    """Whether a file is read, not run."""
    return path.suffix.lstrip(".") in SUFFIXES


def _check_keys(value: Any, where: str, above: tuple[int, ...]) -> None:
    """Refuse keys that are no text, and mappings without an end, wherever they are in a file."""
    if not isinstance(value, Mapping):
        return
    if id(value) in above:
        raise SettingsError("it contains itself", where=where)
    if len(above) == _DEEPEST:
        raise SettingsError(f"there are more than {_DEEPEST} mappings within each other", where=f"{where[:40]}...")
    for key, item in value.items():
        if not isinstance(key, str):
            raise SettingsError(f"expected text for a key, got {key!r}", where=where, hint="put it in quotes")
        _check_keys(item, f"{where}.{key}" if where else key, (*above, id(value)))


def _check_values(value: Any, where: str, above: frozenset[int]) -> None:
    """Refuse what is no text, number, truth value, list or mapping, and what contains itself."""
    if isinstance(value, (Mapping, list)):
        if id(value) in above:
            raise SettingsError("it contains itself", where=where)
        if len(above) == _DEEPEST:
            raise SettingsError(f"there are more than {_DEEPEST} lists within each other", where=f"{where[:40]}...")
        inside = above | {id(value)}
        for key, item in value.items() if isinstance(value, Mapping) else enumerate(value):
            if isinstance(value, Mapping) and not isinstance(key, str):
                raise SettingsError(f"expected text for a key, got {key!r}", where=where, hint="put it in quotes")
            _check_values(item, f"{where}[{key}]" if isinstance(key, int) else f"{where}.{key}", inside)
    elif value is not None and not isinstance(value, (str, int, float)):
        what = f"expected text, a number, true, false, a list or a mapping, got {type(value).__name__}: {value!s:.80}"
        raise SettingsError(what, where=where, hint="put it in quotes")


def _read(path: Path) -> Any:
    yaml = _text_keys()
    try:
        text = path.read_text()
        return json.loads(text) if path.suffix == ".json" else yaml.load(text, Loader=_loader(yaml))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the file's fault
        raise SettingsError(" ".join(str(error).split()) or type(error).__name__, where=str(path)) from None


def _text_keys() -> Any:
    """Let the YAML that Fabric and Invoke read with take keys as they are written; return it."""
    from invoke import util

    yaml: Any = vars(util)["yaml"]
    yaml.add_constructor(f"{_TAG}map", _mapping, Loader=yaml.SafeLoader)
    return yaml


def _loader(yaml: Any) -> Any:
    """Make a loader that says of whatever cannot be constructed where it stands: PyYAML lets errors of any kind out."""

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # the one of Invoke is known while it runs
        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (yaml.YAMLError, RecursionError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the file's fault
                what = f"this is no {node.tag.removeprefix(_TAG)} ({type(error).__name__}: {error})"
                raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None

    return Loader


def _mapping(loader: Any, node: Any) -> Iterator[dict[Any, Any]]:
    """Construct a mapping as PyYAML does, empty first as it may contain itself, but with keys as they are written."""
    made: dict[Any, Any] = {}
    yield made
    if node.id != "mapping":
        loader.construct_mapping(node)  # it is refused here
    loader.flatten_mapping(node)  # merges: <<
    for key, value in node.value:
        if key.id == "scalar" and key.tag in _SCALAR_KEYS:
            made[key.value] = loader.construct_object(value)
        else:  # it is refused here, by its line, or as no text
            made.update(loader.construct_mapping(type(node)(node.tag, [(key, value)], node.start_mark)))
