"""Secrets out of what is shown."""

from __future__ import annotations

import re
from typing import Any

MASK = "********"
_SECRET = re.compile(r"passw|secret|token|key|credential", re.IGNORECASE)
_IN_URL = re.compile(r"(?P<before>[A-Za-z][\w+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)")


def masked(value: Any, key: str = "") -> Any:
    """Give JSON data without its secrets: values under a key that sounds like one, passwords inside URLs."""
    if isinstance(value, dict):
        return {name: masked(item, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item, key) for item in value]
    if value is not None and _SECRET.search(key) and not isinstance(value, bool):
        return MASK
    return _IN_URL.sub(lambda match: match["before"] + MASK, value) if isinstance(value, str) else value


def masked_line(line: str) -> str:
    """Give a line `KEY=value` without its secret."""
    key, equals, value = line.partition("=")
    return f"{key}={masked(value, key)}" if equals else line
