"""Which hosts ssh's files cannot tell apart: what ssh says of one of them it says of all, but for the name.

Asking ssh costs most of what a host costs the operator, and most files have the same for all hosts of a fleet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from glob import glob
from typing import Any

_LINE = re.compile(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*)")
_BY_NAME = re.compile(r"match|canonical.*", re.IGNORECASE)
# a name that ssh takes as it is: no capitals, nothing that it reads as a number in a way of its own
_PLAIN = re.compile(r"(?=[^a-z]*[a-z])[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|(?:[1-9][0-9]{0,2}\.){3}[1-9][0-9]{0,2}")
_NAMED = ("host", "hostname")
_JUMP = "proxyjump"  # left out where the jump host itself is asked for

Patterns = tuple[tuple[str, ...], ...]


def patterns(texts: Sequence[str]) -> Patterns | None:
    """Return the patterns of each `Host` line; None where something else may tell hosts apart, or is not known to."""
    found: list[tuple[str, ...]] = []
    for line in (one for text in texts for one in text.splitlines()):
        match = _LINE.fullmatch(line)
        if match is None:
            if line.strip() and not line.lstrip().startswith("#"):
                return None
            continue
        key, value = match[1].lower(), match[2]
        if "%" in value or _BY_NAME.fullmatch(key):
            return None
        if key == "include" and not all(map(_includes_nothing, value.split())):
            return None
        if key == "host":
            if not re.fullmatch(r"[A-Za-z0-9.*?!_:\s-]+", value):  # quotes, comments
                return None
            found.append(tuple(value.split()))
    return tuple(found)


def kind(name: str, known: Patterns) -> tuple[bool, ...] | None:
    """Return which `Host` lines are about a host: the same for all of a kind. None for one that is of no kind."""
    return tuple(_meant(name, one) for one in known) if _PLAIN.fullmatch(name) else None


def is_common(options: Mapping[str, Any], name: str) -> bool:
    """Return whether ssh says the same of all hosts of a kind, but for the name.

    Parameters
    ----------
    options : what it says of the host `name`.
    """
    if options.get("hostname") != name or options.get(_JUMP):
        return False
    return not any(name in str(value).lower() for key, value in options.items() if key not in _NAMED)


def renamed(options: Mapping[str, Any], other: str) -> dict[str, Any]:
    """Return what ssh says of another host of the same kind, of what `is_common` of that."""
    return {**options, **{key: other for key in _NAMED if key in options}}


def _includes_nothing(pattern: str) -> bool:
    return pattern.startswith("/") and not glob(pattern)  # noqa: PTH207  of any folder


def _meant(name: str, line: Sequence[str]) -> bool:
    """Whether a `Host` line is about a host, as ssh_config(5) has it: what is negated wins, capitals count."""
    hits = {one.startswith("!") for one in line if _matches(name, one.removeprefix("!"))}
    return hits == {False}


def _matches(name: str, pattern: str) -> bool:
    expression = "".join({"*": ".*", "?": "."}.get(one, re.escape(one)) for one in pattern)
    return re.fullmatch(expression, name) is not None
