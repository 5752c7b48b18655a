"""Settings files as Fabric and Invoke merge them, and what they could not take: an error of ours before they end on it.

A key is text, whatever YAML 1.1 makes of it (`on` is true there): here, and where Fabric and Invoke read the same file
after us.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.core.errors import SettingsError
from ops.core.masking import SECRETS

SUFFIXES = ("yaml", "yml", "json")
_DEEPEST = 50  # mappings within each other: Invoke goes down by calls within calls
_TAG = "tag:yaml.org,2002:"
_WRITTEN = {f"{_TAG}{kind}" for kind in ("bool", "int", "float", "timestamp", "value")}
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*|(?:0|[1-9][0-9]*)\.[0-9]*(?:[eE][-+][0-9]+)?|\.[0-9]+)")
_SCALAR_KEYS = {f"{_TAG}{kind}" for kind in ("str", "bool", "int", "float", "null", "timestamp", "value")}


@dataclass
class Levels:
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
        if not is_data(path):
            return None
        found = _read(path)
        if found is None:
            return None
        SECRETS.learn(found)
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


def is_data(path: Path) -> bool:
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
        if any("\ud800" <= one <= "\udfff" for one in key):  # Invoke looks for a variable of that name
            raise SettingsError(f"expected a key in UTF-8, got {key!r}", where=where)
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
        text = path.read_text(encoding="utf-8")
        return _json(text) if path.suffix == ".json" else yaml.load(text, Loader=_loader(yaml))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the file's fault
        raise SettingsError(_said(error) or type(error).__name__, where=str(path)) from None


def _json(text: str) -> Any:
    def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"{twice!r} stands twice in one object")
        return made

    return json.loads(text, object_pairs_hook=each_once)


def _said(error: Exception) -> str:
    """Return what was wrong and where, without the line itself: it may have a secret."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8: byte {error.object[error.start]:#04x} in {_place(error.object[: error.start])}"
    found = getattr(error, "character", None)
    if found is not None:  # a yaml.ReaderError, which names its input "<unicode string>"
        code, place = found if isinstance(found, int) else ord(found), vars(error)["position"] + 1
        return f"character {place} of the file, U+{code:04X}, has no place in YAML"
    said = [getattr(error, name, None) for name in ("context", "context_mark", "problem", "problem_mark")]
    if not any(said):
        return " ".join(str(error).split())
    told = ", ".join(
        one if isinstance(one, str) else f"line {one.line + 1}, column {one.column + 1}" for one in said if one
    )
    return told.replace("'<stream end>'", "the end of the file")


def _place(before: bytes) -> str:
    """Return where a file is wrong, by what stands before that."""
    return f"line {before.count(10) + 1}, column {len(before) - before.rfind(10)}"


def _text_keys() -> Any:
    """Let the YAML that Fabric and Invoke read with take keys as they are written; return it."""
    from invoke import util

    yaml: Any = vars(util)["yaml"]
    yaml.add_constructor(f"{_TAG}map", _mapping, Loader=yaml.SafeLoader)
    yaml.add_constructor(f"{_TAG}value", yaml.SafeLoader.construct_yaml_str, Loader=yaml.SafeLoader)
    for kind in ("int", "float"):
        yaml.add_constructor(f"{_TAG}{kind}", _number, Loader=yaml.SafeLoader)
    return yaml


def _number(loader: Any, node: Any) -> Any:
    """Construct a number that everybody reads alike; what YAML 1.1 alone takes for one (022, 12:30:45) is text."""
    whole = node.tag == f"{_TAG}int"
    number = loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)
    return number if _DECIMAL.fullmatch(node.value) else node.value


def _loader(yaml: Any) -> Any:
    """Make a loader that says of whatever cannot be constructed where it stands: PyYAML lets errors of any kind out.

    Of a key that stands twice PyYAML takes the last one, in silence.
    """

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # the one of Invoke is known while it runs
        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            seen: dict[str, Any] = {}
            for key, _ in node.value:
                if key.id != "scalar" or key.tag == f"{_TAG}merge":
                    continue
                if key.value in seen:
                    first = f"{key.value!r} stands twice in one mapping"
                    raise yaml.constructor.ConstructorError(first, seen[key.value], "again", key.start_mark)
                seen[key.value] = key.start_mark
            return node

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (yaml.YAMLError, RecursionError):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the file's fault
                what = f"this is no {node.tag.removeprefix(_TAG)} ({type(error).__name__}: {error})"
                raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from None

    return Loader


def _keep_written(loader: Any, node: Any) -> None:
    """Let the values of an environment be text as it is written: 1.10, yes, 2024-01-01; nothing (~) is none."""
    loader.flatten_mapping(node)
    node.value = [
        (key, type(value)(f"{_TAG}str", value.value, value.start_mark, value.end_mark, value.style))
        if value.id == "scalar" and value.tag in _WRITTEN
        else (key, value)
        for key, value in node.value
    ]


def _mapping(loader: Any, node: Any) -> Iterator[dict[Any, Any]]:
    """Construct a mapping as PyYAML does, empty first as it may contain itself, but with keys as they are written."""
    made: dict[Any, Any] = {}
    yield made
    if node.id != "mapping":
        loader.construct_mapping(node)  # it is refused here
    loader.flatten_mapping(node)  # merges: <<
    for key, value in node.value:
        if key.value == "env" and value.id == "mapping":
            _keep_written(loader, value)
        if key.id == "scalar" and key.tag in _SCALAR_KEYS:
            made[key.value] = loader.construct_object(value)
        else:  # it is refused here, by its line, or as no text
            made.update(loader.construct_mapping(type(node)(node.tag, [(key, value)], node.start_mark)))
