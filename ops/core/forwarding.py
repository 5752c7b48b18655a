"""A text stream in front of another one: it says of itself what that one says."""

from __future__ import annotations

import io
from typing import TextIO


class Forwarding(io.TextIOBase):
    """What streams in front of others have in common; how they write is their own.

    Parameters
    ----------
    raw : the stream behind.
    """

    def __init__(self, raw: TextIO) -> None:
        self._raw = raw

    def flush(self) -> None:
        """Pass it on."""
        self._raw.flush()

    def isatty(self) -> bool:
        """Say whether the stream is a terminal."""
        return self._raw.isatty()

    def fileno(self) -> int:
        """Return the stream's descriptor."""
        return self._raw.fileno()

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return self._raw.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        """What the stream does with characters that its encoding lacks; `input` asks for it."""
        return self._raw.errors
