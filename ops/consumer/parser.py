"""How a message's bytes become `params`, and how params travel to a background worker and back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Protocol

from ops.consumer.errors import ParseError

Parser = Callable[[bytes], Any]
"""Bytes in, params out; a ValueError (json's and unicode's are such) means that it cannot be read."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def parse_json(raw: bytes) -> Any:
    """Read UTF-8 JSON: the parser of routes that name none.

    Raises
    ------
    ParseError : it is no JSON.
    """
    try:
        return json.loads(raw.decode())
    except ValueError as error:
        raise ParseError(f"no JSON: {error}") from None


def serialize(data: Any) -> bytes:
    """Turn what a responder sends into bytes: strings and bytes as they are, anything else as JSON.

    Raises
    ------
    TypeError : it has no JSON form.
    """
    if isinstance(data, str):
        return data.encode()
    if isinstance(data, (bytes, bytearray)):
        return bytes(data)
    return _encode(data).encode()


class Interchanger(Protocol):
    """Translates params for the way to a background worker and back."""

    def dump(self, params: Any) -> Any:
        """Give something that JSON can hold."""

    def load(self, data: Any) -> Any:
        """Give the params back."""


class PlainInterchanger:
    """The interchanger for params that JSON can hold as they are."""

    def dump(self, params: Any) -> Any:
        """Give the params back."""
        return params

    def load(self, data: Any) -> Any:
        """Give the data back."""
        return data
