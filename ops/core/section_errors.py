"""What msgspec says of wrong settings, in the words of the file: key path, value, what was expected."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from ops.core.errors import SettingsError
from ops.core.section_hints import choices, meant, nearest
from ops.core.section_words import in_words, one_of
from ops.core.settings import Settings

ROOT = "karafka"
FILE_HINT = "an annotated example: python -m ops init"


def explained(error: msgspec.ValidationError, merged: Any, path: str, own: Mapping[str, Any]) -> SettingsError:
    """Turn msgspec's error into ours.

    Parameters
    ----------
    merged : what was converted.
    path : of the stage, below which `own`, its own keys, stand.
    """
    message = str(error)
    text, _, at = message.partition(" - at `$")
    of_key = " - at `key` in `$" in message  # a mapping's key itself is wrong, not its value
    if of_key:
        text, _, at = message.partition(" - at `key` in `$")
    keys, value = _locate(at.rstrip("`") + "[...]" * of_key, message, merged)
    if of_key:
        value = keys.pop()
    match = re.fullmatch(r"Object (contains unknown|missing required) field `(.*)`", text, flags=re.DOTALL)
    hint = FILE_HINT
    if match:
        keys = [*keys, match[2]]
        text = "unknown key" if match[1] == "contains unknown" else "missing"
        hint = (meant(keys) if match[1] == "contains unknown" else "") or FILE_HINT
    elif words := choices(keys):
        text = f"expected {one_of(words)}, got {value!r}"
        near = nearest(value, words) if isinstance(value, str) else ""
        hint = f"did you mean {near}?" if near else FILE_HINT
    else:
        if isinstance(value, (bool, int, float)) and re.match("Expected `[a-z| ]*str", text):
            hint = "put it in quotes"
        text = in_words(text)
        if value is not None:  # it has said so
            text += f": {value!r}" if ", got " in text else f", got {value!r}"
    root = path if keys[0] in (*own, "hosts") else ROOT
    return SettingsError(
        text,
        where="".join([root, *(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)]),
        hint=hint,
    )


def _locate(at: str, message: str, merged: Any) -> tuple[list[str | int], Any]:
    """Follow msgspec's path to the keys and the value; `[...]` stands for a key it does not name."""
    keys: list[str | int] = []
    value = merged
    for name, index in re.findall(r"\.([A-Za-z0-9_]+)|\[([0-9]+|\.\.\.)\]", at):
        key = name or (_culprit(merged, keys, message) if index == "..." else int(index))
        keys.append(key)
        value = value.get(key) if isinstance(value, Mapping) else value[key]
    return keys, value


def _culprit(merged: Any, keys: list[str | int], message: str) -> str:
    """Find the key of a mapping that alone brings the same message about."""
    inside = merged
    for key in keys:
        inside = inside[key]
    for candidate in inside:
        trial = _with_only(merged, keys, candidate)
        try:
            msgspec.convert(trial, Settings)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return str(candidate)
    return "*"


def _with_only(value: Any, keys: list[str | int], candidate: str) -> Any:
    """Copy the settings with the mapping at `keys` cut down to one key."""
    if not keys:
        return {candidate: value[candidate]}
    copy = dict(value) if isinstance(value, Mapping) else list(value)
    copy[keys[0]] = _with_only(copy[keys[0]], keys[1:], candidate)  # type: ignore[index]
    return copy
