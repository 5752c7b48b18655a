"""Output that a pipeline shows and does not obey.

What hosts, hooks and logs say reaches the log of the pipeline, which takes some lines as orders to itself. So
everything is written through `Guarded`, which changes such lines; only what `issue` writes is an order.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from ops.core.pipeline import Pipeline, pipeline_of


class Guarded(io.TextIOBase):
    """A stream whose lines the pipeline only shows; a line is written once it is whole."""

    def __init__(self, raw: TextIO, pipeline: Pipeline) -> None:
        self._raw = raw
        self._pipeline = pipeline
        self._held = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Write what is whole of it, with what was held before."""
        with self._lock:
            *lines, self._held = (self._held + text).split("\n")
            self._raw.write("".join(f"{self._pipeline.plain(line.removesuffix(chr(13)))}\n" for line in lines))
        return len(text)

    def issue(self, command: str) -> None:
        """Write a command to the pipeline, on a line of its own."""
        self.finish()
        with self._lock:
            self._raw.write(f"{command}\n")
            self._raw.flush()

    def finish(self) -> None:
        """Write what is held of a last line that never ended."""
        if self._held:
            self.write("\n")
        self.flush()

    def flush(self) -> None:
        """Pass it on; what is held of a line stays."""
        self._raw.flush()

    def isatty(self) -> bool:
        """Say whether the stream is a terminal."""
        return self._raw.isatty()

    def fileno(self) -> int:
        """Give the stream's descriptor."""
        return self._raw.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The stream's encoding."""
        return self._raw.encoding

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True


def issue(stream: TextIO, command: str) -> None:
    """Give the pipeline a command, whether the stream is guarded or not."""
    if isinstance(stream, Guarded):
        stream.issue(command)
    else:
        stream.write(f"{command}\n")
        stream.flush()


@contextmanager
def guarded_output() -> Iterator[None]:
    """Guard standard output and standard error where a pipeline takes them."""
    pipeline = pipeline_of()
    if pipeline is None or isinstance(sys.stdout, Guarded):
        yield
        return
    before = sys.stdout, sys.stderr
    streams = Guarded(sys.stdout, pipeline), Guarded(sys.stderr, pipeline)
    sys.stdout, sys.stderr = cast(TextIO, streams[0]), cast(TextIO, streams[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in streams:
            stream.finish()
