"""Reads dataclasses out of JSON data, every value checked against the declared type."""

from __future__ import annotations

from enum import Enum
from functools import cache

from ops.core.hints import hints_of, is_any, is_union
from ops.core.records import is_dataclass, required

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    T = TypeVar("T")


def decode(kind: type[T], data: Any) -> T:
    """Make an instance of a dataclass from what `dataclasses.asdict` and JSON have made of it.

    Knows str, int, float, bool, None, Any, enums, named tuples, dataclasses, and tuples, mappings and unions of them.

    Raises
    ------
    ValueError : a field is missing, unknown or of another type; it says which.
    """
    result: T = _value(kind, data, kind.__name__)
    return result


_hints = cache(hints_of)


_required = cache(required)


def _value(kind: Any, data: Any, where: str) -> Any:
    if is_union(kind):
        return _either(kind, data, where)
    origin = getattr(kind, "__origin__", None)
    if origin is tuple:
        return tuple(_value(kind.__args__[0], one, where) for one in _of(list, data, where))
    if origin is dict:
        inside = kind.__args__[1]
        return {
            _of(str, key, where): _value(inside, one, f"{where}[{key}]") for key, one in _of(dict, data, where).items()
        }
    if is_dataclass(kind):
        return _instance(kind, data, where)
    return _scalar(kind, data, where)


def _scalar(kind: Any, data: Any, where: str) -> Any:
    if is_any(kind):
        return data
    if issubclass(kind, Enum):
        try:
            return kind(data)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
    if issubclass(kind, tuple):  # a named one
        hints = _hints(kind)
        if len(_of(list, data, where)) != len(hints):
            raise ValueError(f"{where}: expected {len(hints)} values, got {data!r}")
        return kind(*(_value(inside, one, where) for inside, one in zip(hints.values(), data)))
    if kind is float and type(data) is int:
        return float(data)
    return _of(kind, data, where)


def _instance(kind: Any, data: Any, where: str) -> Any:
    hints = _hints(kind)
    given = _of(dict, data, where)
    wrong = (_required(kind) - set(given)) or (set(given) - set(hints))
    if wrong:
        raise ValueError(f"{where}: {', '.join(sorted(wrong))} missing or unknown")
    return kind(**{name: _value(hints[name], one, f"{where}.{name}") for name, one in given.items()})


def _either(kind: Any, data: Any, where: str) -> Any:
    for inside in kind.__args__:
        if (data is None) == (inside is type(None)):
            return None if data is None else _value(inside, data, where)
    raise ValueError(f"{where}: must not be empty")


def _of(kind: type[T], data: Any, where: str) -> T:
    if type(data) is not kind:
        raise ValueError(f"{where}: expected {kind.__name__}, got {data!r:.100}")
    return data
