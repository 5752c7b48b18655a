"""What msgspec says that it expected, in the words of people who write YAML."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from typing import Any

from ops.core.settings import APP_PATTERN, BATCH_PATTERN, BRANCH_PATTERN, NAME_PATTERN, Settings

_KINDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "array": "a list",
    "object": "a mapping",
    "null": "nothing",
}
_PATTERNS = {
    NAME_PATTERN: "a name of letters, digits and _ . -, the first one none of . and -",
    BATCH_PATTERN: "a number of hosts from 1 to 999 or a share of them from 1% to 100%",
    APP_PATTERN: "a Python object, as module:name",
    BRANCH_PATTERN: "a branch, tag or commit",
}


def in_words(message: str, kind: Any = Settings, keys: Sequence[str | int] = ()) -> str:
    """Return what a message of msgspec says, without its path, in plain words.

    Parameters
    ----------
    kind : the type that was to be converted to.
    keys : of the value in question, below that.
    """
    if message.startswith("Invalid enum value"):
        return f"expected {' or '.join(dict.fromkeys(map(str, _choices(kind, keys))))}"
    pattern = re.fullmatch(r"Expected `str` matching regex (.*)", message, flags=re.DOTALL)
    if pattern and (meant := _PATTERNS.get(ast.literal_eval(pattern[1]))):
        return f"expected {meant}"
    return f"{message[:1].lower()}{re.sub('`([a-z| ]+)`', _named, message)[1:]}"


def _named(kinds: re.Match[str]) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds[1].split(" | "))


def _choices(kind: Any, keys: Sequence[str | int]) -> Iterator[Any]:
    """Yield the values that there are at a place."""
    from msgspec import inspect

    places = [inspect.type_info(kind)]
    for key in keys:
        places = [inside for place in _flat(places) for inside in _below(place, key)]
    for place in _flat(places):
        if isinstance(place, inspect.LiteralType):
            yield from place.values


def _flat(places: Sequence[Any]) -> Iterator[Any]:
    for place in places:
        yield from _flat(place.types) if hasattr(place, "types") else (place,)


def _below(place: Any, key: str | int) -> Iterator[Any]:
    """Yield the types of what is below a key in a value of this type."""
    yield from (field.type for field in getattr(place, "fields", ()) if field.encode_name == key)
    for name in ("value_type", "item_type"):  # of a mapping's values, of a list's items
        if hasattr(place, name):
            yield getattr(place, name)
