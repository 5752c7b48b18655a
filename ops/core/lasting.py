"""Output that a command outlasts: what nobody takes any more is dropped, and the command does what it was told to.

A reader goes (`fab deploy | head`), a terminal hangs up, a disk is full, an encoding lacks a character: none of that
is a reason to leave hosts half changed, or to end with another exit code.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO, cast

from ops.core.forwarding import Forwarding


def fill_standard_streams() -> None:
    """Open standard streams that were closed before this process began, on nothing.

    Else the next file that is opened is one of them, and what this process starts reads from it or writes into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


class OutputLostError(Exception):
    """Nobody reads what is written within `WhileRead`."""


class Lasting(Forwarding):
    """A stream that takes everything; after the first failure it goes nowhere.

    Parameters
    ----------
    name : what it is, in words.
    other : where a failure is told that is not just a reader who has left; None for nowhere.
    """

    def __init__(self, raw: TextIO, name: str, other: TextIO | None = None) -> None:
        self.ends_unread = False  # whether a write ends what is done where it goes nowhere
        super().__init__(raw)
        self._name = name
        self._other = other
        self._lost = False

    def write(self, text: str) -> int:
        """Write it, or drop it; a character that the encoding lacks is written as Python escapes it."""
        if not self._lost:
            try:
                self._raw.write(text)
            except UnicodeEncodeError:
                encoding = self.encoding or "ascii"
                with self._losing():
                    self._raw.write(text.encode(encoding, "backslashreplace").decode(encoding))
            except (OSError, ValueError) as error:
                self._lose(error)
        self._require_reader()
        return len(text)

    def flush(self) -> None:
        """Pass it on."""
        if not self._lost:
            with self._losing():
                self._raw.flush()
        self._require_reader()

    @contextmanager
    def _losing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: somebody has closed it
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        if isinstance(error, BlockingIOError):  # another program has made the terminal or pipe so, which it shares
            with suppress(OSError, ValueError):
                os.set_blocking(self._raw.fileno(), True)
            return
        self._lost = True
        # What the stream still holds is written once more when the interpreter ends, which would be its exit code.
        with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), self._raw.fileno())
        if self._other is not None and getattr(error, "errno", None) != errno.EPIPE:
            why = getattr(error, "strerror", None) or error
            self._other.write(f"{self._name} could not be written from here on: {why}\n")
            self._other.flush()

    def _require_reader(self) -> None:
        if self._lost and self.ends_unread:
            raise OutputLostError

    def close(self) -> None:
        """Leave the stream to whom it belongs."""

    def isatty(self) -> bool:
        """Say whether the stream is a terminal."""
        return not self._lost and self._raw.isatty()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)


_outputs: list[Lasting] = []


@contextmanager
def lasting_output() -> Iterator[None]:
    """Let nothing that is printed end what is done within; also where a descriptor was closed from the beginning."""
    before = sys.stdout, sys.stderr
    raw = [Path(os.devnull).open("w") if one is None else one for one in before]  # noqa: SIM115  as long as sys has it
    if isinstance(raw[0], Lasting):
        yield
        return
    errors = Lasting(raw[1], "standard error")
    output = Lasting(raw[0], "standard output", cast(TextIO, errors))
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
    _outputs.append(output)
    try:
        yield
    finally:
        _outputs.pop()
        output.ends_unread = False
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = (now if was is None else was for was, now in zip(before, raw))


class WhileRead:
    """Leaves its block where nobody reads standard output any more: what only looks has nothing else to do."""

    def __init__(self) -> None:
        self._output = _outputs[-1] if _outputs else None

    def __enter__(self) -> None:
        if self._output is not None:
            self._output.ends_unread = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if self._output is not None:
            self._output.ends_unread = False
        return kind is OutputLostError
