"""What msgspec says that it expected, in the words of people who write YAML."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any, get_args

from ops.core.settings import APP_PATTERN, BATCH_PATTERN, BRANCH_PATTERN, NAME_PATTERN

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


def in_words(message: str, kind: Any = None) -> str:
    """Return what a message of msgspec says, without its path, in plain words.

    Parameters
    ----------
    kind : the type that was to be converted to, where it may be one of a few texts.
    """
    if message.startswith("Invalid enum value"):
        return f"expected {one_of(get_args(kind))}"
    pattern = re.fullmatch(r"Expected `str` matching regex (.*)", message, flags=re.DOTALL)
    if pattern and (meant := _PATTERNS.get(ast.literal_eval(pattern[1]))):
        return f"expected {meant}"
    return f"{message[:1].lower()}{re.sub('`([a-z| ]+)`', _named, message)[1:]}"


def one_of(words: Sequence[str]) -> str:
    """Return several words as one text: a, b or c."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _named(kinds: re.Match[str]) -> str:
    return " or ".join(_KINDS.get(kind, kind) for kind in kinds[1].split(" | "))
