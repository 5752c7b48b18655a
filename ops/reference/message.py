"""What the messages of `sources` carry, and what of it is passed on.

    {"id": "r7", "sequence": 41, "stream": "9c2f01ab", ...}

`id` names the resource. `sequence` counts the messages of one `stream` (one run of a producer): both are passed on,
so that lost and repeated messages can be counted by them. Everything else describes the resource.
"""

from __future__ import annotations

import re
from typing import Any

from ops.reference.errors import MalformedMessageError

MARKS = ("sequence", "stream")
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,200}", re.ASCII)
_HINT = 'expected a JSON object such as {"id": "r7", "sequence": 41}'


def resource_id(params: Any) -> str:
    """Give the id of the resource that a message is about.

    Raises
    ------
    MalformedMessageError : it is no object, or has no usable id or sequence.
    """
    if not isinstance(params, dict):
        raise MalformedMessageError(f"{type(params).__name__} is no message", where="sources", hint=_HINT)
    found = params.get("id")
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str) or not _ID.fullmatch(found) or not found.strip("."):
        raise MalformedMessageError(f"{found!r} is no id of a resource", where="sources: id", hint=_HINT)
    sequence = params.get("sequence", 0)
    if not isinstance(sequence, int) or isinstance(sequence, bool) or not 0 <= sequence < 2**63:
        raise MalformedMessageError(f"{sequence!r} is no sequence number", where="sources: sequence", hint=_HINT)
    return found


def marks(params: dict[str, Any]) -> dict[str, Any]:
    """Give what is passed on of a message: its sequence number and stream."""
    return {name: params[name] for name in MARKS if name in params}


def details(params: dict[str, Any]) -> dict[str, Any]:
    """Give what describes the resource: all but id, sequence and stream."""
    return {name: value for name, value in params.items() if name != "id" and name not in MARKS}
