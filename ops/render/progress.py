"""What happens while it happens: a line an event, and at the end what failed and why."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from ops.core.plain import cell, lines_of
from ops.core.protocol import Event, ProcessReport
from ops.render.console import console_of, text_of
from ops.render.streams import is_terminal

_STYLES = {"ready": "green", "ended": "green", "failed": "bold red", "killed": "bold red"}


class Progress:
    """Writes progress lines: `host1 karafka-0: ready (READY=1 after 0.8 s)`; with the time of day off a terminal.

    Parameters
    ----------
    clock : seconds since the epoch.
    """

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        self._stream = stream
        self._clock = clock
        self._colours = is_terminal(stream)

    def event(self, host: str, event: Event) -> None:
        """Write a process's event."""
        detail = f" ({event.detail})" if event.detail else ""
        self._write(f"{host} {event.process}: {event.step}{detail}", _STYLES.get(event.step, ""))

    def report(self, host: str, report: ProcessReport, *, lines: bool = True) -> None:
        """Write what came of a process; when it failed, with the end of its log."""
        self._write(f"{host} {report.name}: {report.message or report.state}", "" if report.ok else "bold red")
        if lines and not report.ok:
            for line in report.log:
                self._plain(f"  | {cell(line)}")

    def trouble(self, text: str) -> None:
        """Write what kept a host from answering."""
        self._write(text, "bold red")

    def say(self, text: str) -> None:
        """Write a remark."""
        self._write(text)

    def _write(self, text: str, style: str = "") -> None:
        first, *rest = lines_of(text)
        if self._colours:
            console_of(self._stream).print(text_of(first, style), soft_wrap=True)
        else:
            self._plain(f"{time.strftime('%H:%M:%S', time.localtime(self._clock()))} {first}")
        for line in rest:
            self._plain(line)

    def _plain(self, text: str) -> None:
        self._stream.write(f"{text}\n")
        self._stream.flush()
