"""What no text of the settings may be, whatever it is for: they get into units, rules, argv and lines of records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FREE = ("command", "worker_command", "build")  # a program's own words may have line breaks


def troubles(data: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the key path of each text that will not do, and what is wrong with it.

    Parameters
    ----------
    data : settings as plain data.
    """
    if isinstance(data, Mapping):
        for key, value in data.items():
            below = f"{path}.{key}" if path else key
            if key == "env" and isinstance(value, Mapping):
                yield from _of_variables(value, below)
            elif not key.isprintable():
                yield below, f"expected a key without control characters, got {key!r}"
            elif key == "tool":
                continue  # `ops.core.tool` judges it, without showing it
            elif key in _FREE:
                yield from _of_words(value, below)
            else:
                yield from troubles(value, below)
    elif isinstance(data, (list, tuple)):
        for index, value in enumerate(data):
            yield from troubles(value, f"{path}[{index}]")
    elif isinstance(data, str) and not data.isprintable():
        found = next(one for one in data if not one.isprintable())
        yield path, f"expected text without control characters, got one with {found!r}"


def _of_variables(env: Mapping[str, Any], path: str) -> Iterator[tuple[str, str]]:
    for name, value in env.items():
        if not _VARIABLE.fullmatch(name):
            yield f"{path}.{name}", f"expected a variable's name: letters, digits and _, got {name!r}"
        elif isinstance(value, str) and not _is_argument(value):
            yield f"{path}.{name}", "expected text without NUL bytes, in UTF-8"


def _of_words(value: Any, path: str) -> Iterator[tuple[str, str]]:
    for word in value if isinstance(value, (list, tuple)) else (value,):
        if isinstance(word, str) and not _is_argument(word):
            yield path, "expected text without NUL bytes, in UTF-8"


def _is_argument(text: str) -> bool:
    """Whether a text can be an argument of a program, or in its environment."""
    return "\0" not in text and not any("\ud800" <= one <= "\udfff" for one in text)
