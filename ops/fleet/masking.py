"""Settings and files as they are shown: without what stands under a name that sounds like a secret's."""

from __future__ import annotations

import re
from typing import Any

from ops.core.masking import MASK, SECRETS, is_secret

# Within a line, as units and programs have it: `Environment="A=b c"`; `environment=A="b",C="d"`, `Environment=A=b`
_IN_QUOTES = re.compile(r"(?<=[\"'])(?P<name>[A-Z_][A-Z0-9_]*)=(?P<value>(?:[^\"'\\]|\\.)*)")
_VARIABLE = re.compile(
    r"(?<![A-Za-z0-9_\"'])(?P<name>[A-Z_][A-Z0-9_]*)=(?P<value>\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s\"']\S*)"
)


def masked(value: Any, key: str = "") -> Any:
    """Give JSON data without its secrets: values under a key that sounds like one, those of URLs, known ones."""
    if isinstance(value, dict):
        return {name: masked(item, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item, key) for item in value]
    if is_secret(key, value):
        return MASK
    return SECRETS.hide(value) if isinstance(value, str) else value


def masked_line(line: str) -> str:
    """Give a line of a file without its secrets: `KEY=value`, also in the middle of it."""
    key, equals, value = line.partition("=")
    if equals and (key.isupper() or key.islower()) and is_secret(key.strip(), value.strip(" \"'")):
        return f"{key}={MASK}"
    return SECRETS.hide(_VARIABLE.sub(_without, _IN_QUOTES.sub(_without, line)))


def _without(match: re.Match[str]) -> str:
    return f"{match['name']}={MASK}" if is_secret(match["name"], match["value"].strip("\"'")) else match[0]
