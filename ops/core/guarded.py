"""The door that all output goes through: no secret leaves by it, no text steers a terminal, no pipeline obeys one.

What hosts, hooks, messages and logs say is written by others. So standard output and standard error of every task are
`Guarded`: what is written to them comes out without secrets and without control characters. Colours, tables that renew
themselves (`styled`) and orders to a pipeline (`issue`) are ours alone, and have ways of their own.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

from ops.core.forwarding import Forwarding
from ops.core.masking import SECRETS
from ops.core.pipeline import Pipeline, as_data, pipeline_of
from ops.core.plain import shown


class Guarded(Forwarding):
    """A stream that shows texts and is steered by none; a line is written once it is whole.

    Parameters
    ----------
    pipeline : whose log it is; None for none that is known.
    """

    def __init__(self, raw: TextIO, pipeline: Pipeline | None = None) -> None:
        super().__init__(raw)
        self._pipeline = pipeline
        self._held = ""  # of a line that has not ended, as it was written
        self._line = ""  # the same before it, fit to be shown; in a pipeline, which is given whole lines
        self._lock = threading.RLock()

    @property
    def styled(self) -> TextIO:
        """The stream for what colours are added to: texts in it have to be fit already."""
        return cast(TextIO, _Styled(self))

    def write(self, text: str) -> int:
        """Write what is whole of it, with what was held before."""
        with self._lock:
            whole, end, self._held = (self._held + text).rpartition("\n")
            if end:
                whole = f"{whole}\n".replace("\r\n", "\n")
                self._pass(shown(whole))
        return len(text)

    def write_styled(self, text: str) -> None:
        """Write a text that has our own colours."""
        with self._lock:
            self._let_go()
            self._pass(text)

    def write_data(self, text: str) -> None:
        """Write JSON whose texts are fit already: in the line itself a number may look like a secret."""
        with self._lock:
            self._let_go()
            self._pass(as_data(text))

    def issue(self, command: str) -> None:
        """Write a command to the pipeline, on a line of its own."""
        self.finish()
        with self._lock:
            self._raw.write(f"{command}\n")
            self._raw.flush()

    def finish(self) -> None:
        """Write what is held of a last line that never ended."""
        if self._held or self._line:
            self.write("\n")
        self.flush()

    def flush(self) -> None:
        """Pass it on; in a pipeline, what is held of a line stays."""
        with self._lock:
            if self._pipeline is None:
                self._let_go()
            self._raw.flush()

    def _let_go(self) -> None:
        held, self._held = self._held, ""
        if held:
            self._pass(shown(held))

    def _pass(self, text: str) -> None:
        if self._pipeline is not None:
            *lines, self._line = (self._line + text).split("\n")
            text = "".join(f"{self._pipeline.plain(line)}\n" for line in lines)
        self._raw.write(text)  # a character that the encoding lacks is what `ops.core.lasting` sees to


class _Styled(Forwarding):
    """The way of our own colours into a guarded stream."""

    def __init__(self, guarded: Guarded) -> None:
        super().__init__(cast(TextIO, guarded))
        self._guarded = guarded

    def write(self, text: str) -> int:
        self._guarded.write_styled(text)
        return len(text)


def styled(stream: TextIO) -> TextIO:
    """Give the stream for what colours are added to, whether the stream is guarded or not."""
    return stream.styled if isinstance(stream, Guarded) else stream


def write_json(stream: TextIO, data: Any, indent: int | None = None) -> None:
    """Write data as JSON, a line or more, without the secrets in its texts."""
    text = f"{json.dumps(SECRETS.hidden(data), indent=indent)}\n"
    if isinstance(stream, Guarded):
        stream.write_data(text)
    else:
        stream.write(as_data(text))


def print_json(data: Any, indent: int | None = 2) -> None:
    """Write data as JSON on standard output."""
    write_json(sys.stdout, data, indent)


def issue(stream: TextIO, command: str) -> None:
    """Give the pipeline a command, whether the stream is guarded or not."""
    if isinstance(stream, Guarded):
        stream.issue(command)
    else:
        stream.write(f"{command}\n")
        stream.flush()


@contextmanager
def guarded_output() -> Iterator[None]:
    """Guard standard output and standard error."""
    if isinstance(sys.stdout, Guarded):
        yield
        return
    before = sys.stdout, sys.stderr
    pipeline = pipeline_of()
    streams = Guarded(sys.stdout, pipeline), Guarded(sys.stderr, pipeline)
    sys.stdout, sys.stderr = cast(TextIO, streams[0]), cast(TextIO, streams[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in streams:
            stream.finish()
