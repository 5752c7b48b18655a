"""What a deploy says, shown: lines with the time of day, on a terminal colours and a bar while an artifact goes out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from ops.core.guarded import write_json
from ops.core.plain import lines_of
from ops.core.protocol import Event
from ops.core.release import Release
from ops.core.telling import (
    Happening,
    HookBegun,
    HostFact,
    HostRelease,
    Output,
    Result,
    Said,
    StageBegun,
    StageEnded,
    Table,
    Uploaded,
    as_json,
)
from ops.render.columns import Columns
from ops.render.console import console_of
from ops.render.progress import Progress
from ops.render.streams import is_terminal, width_of_terminal

_HOSTS = Columns(
    ("HOST", "CURRENT", "RUNNING", "PREVIOUS", "NOTES"),
    right=frozenset(),
    shrinks=(
        *(("NOTES", 40), ("HOST", 24), ("PREVIOUS", 8), ("CURRENT", 8), ("NOTES", 24), ("RUNNING", 20), ("HOST", 16)),
        *(("PREVIOUS", 0), ("NOTES", 0), ("HOST", 8), ("RUNNING", 8)),
    ),
    ends=frozenset({"CURRENT", "RUNNING", "PREVIOUS"}),
    words="NOTES",
)
_RELEASES = Columns(
    ("HOST", "RELEASE", "STATE", "REVISION", "BRANCH", "BY", "NOTES"),
    right=frozenset(),
    shrinks=(
        *(("NOTES", 40), ("REVISION", 8), ("BY", 12), ("BRANCH", 16), ("HOST", 24), ("NOTES", 24), ("BY", 0)),
        *(("HOST", 16), ("NOTES", 0), ("BRANCH", 8), ("REVISION", 0), ("BRANCH", 0), ("HOST", 8), ("RELEASE", 8)),
    ),
    ends=frozenset({"RELEASE"}),
    words="NOTES",
)
_REVISION_CHARACTERS = 19


class ConsoleNarrator:
    """Writes lines on standard error; tables, and the result where it went well, on standard output."""

    def __init__(self, errors: TextIO, output: TextIO) -> None:
        self._progress = Progress(errors)
        self._output = output
        self._bar = _Bar(errors) if is_terminal(errors) and errors.isatty() else None
        self._lock = threading.Lock()

    def tell(self, event: Happening) -> None:
        """Show it; from any thread."""
        with self._lock:
            if isinstance(event, Uploaded):
                if self._bar is not None:
                    self._bar.show(event)
                return
            if self._bar is not None:
                self._bar.rest()
            self._show(event)

    def _show(self, event: Happening) -> None:
        progress = self._progress
        match event:
            case StageBegun(_, stage):
                progress.say(f"deploy:{stage}")
            case StageEnded(_, stage, seconds, error):
                if error:
                    progress.trouble(f"deploy:{stage} failed after {seconds:.1f} s")
            case HostFact(host, step, detail, process, failed):
                self._fact(host, step, detail, process, failed=failed)
            case HookBegun(name, where):
                progress.say(f"hook {name} ({where})")
            case Output(source, line, host):
                progress.say(f"{host} {source} | {line}" if host else f"{source} | {line}")
            case Said(text, failed):
                (progress.trouble if failed else progress.say)(text)
            case Table(rows):
                self._output.write("\n".join(hosts_table(rows, width_of_terminal(self._output))) + "\n")
            case Result():
                self._result(event)

    def _fact(self, host: str, step: str, detail: str, process: str, *, failed: bool) -> None:
        if failed:
            place = " ".join(part for part in (host, process) if part)
            self._progress.trouble(detail if detail.startswith(host) else f"{place}: {detail}")
        elif process:
            self._progress.event(host, Event(process, step, detail))
        else:
            self._progress.say(f"{host}: {detail}" if step == "done" else f"{host}: {step} {detail}".rstrip())

    def _result(self, result: Result) -> None:
        if result.exit_code:
            self._progress.trouble(result.message)
        else:
            first, *rest = lines_of(result.message)
            self._output.write("\n".join([f"{first}, after {result.seconds:.1f} s", *rest]) + "\n")
        self._output.flush()


class JSONNarrator:
    """Writes a line of JSON for each event on standard output."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._lock = threading.Lock()

    def tell(self, event: Happening) -> None:
        """Write it; from any thread."""
        with self._lock:
            at = datetime.now(UTC).isoformat(timespec="milliseconds")
            write_json(self._output, {"at": at, **as_json(event)})
            self._output.flush()


class _Bar:
    """One bar for all hosts together."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._live: Any = None
        self._task: Any = None
        self._sent: dict[str, int] = {}

    def show(self, event: Uploaded) -> None:
        """Move it on."""
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._sent[event.host] = event.sent
        if self._live is None:
            columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
            self._live = Progress(*columns, console=console_of(self._stream), transient=True)
            self._task = self._live.add_task("uploading")
            self._live.start()
        total, sent = event.size * len(self._sent), sum(self._sent.values())
        self._live.update(self._task, total=total, completed=sent, description=f"to {len(self._sent)} hosts")
        if sent >= total:
            self.rest()

    def rest(self) -> None:
        """Take it away, so that lines can be written."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def hosts_table(rows: Sequence[HostRelease], width: int | None = None) -> list[str]:
    """Return the table of which host has and runs which release; `width` None is as wide as needed."""
    cells = [
        (one.host, one.current or "-", ", ".join(one.running) or "-", one.previous or "-", one.note) for one in rows
    ]
    return _table(_HOSTS, cells, width)


def releases_table(hosts: Sequence[tuple[str, str, Sequence[Release]]], width: int | None = None) -> list[str]:
    """Return the table of all releases: host, its current one, what it has; newest first.

    Parameters
    ----------
    width : of the terminal; None for as wide as needed.
    """
    cells = []
    for host, current, releases in hosts:
        for number, one in enumerate(sorted(releases, key=lambda one: one.name, reverse=True)):
            state = "current" if one.name == current else str(one.state)
            what = (one.name, state, one.revision[:_REVISION_CHARACTERS], one.branch, one.performer, one.reason)
            cells.append(("" if number else host, *what))
        if not releases:
            cells.append((host, "-", "", "", "", "", ""))
    return _table(_RELEASES, cells, width)


def _table(columns: Columns, cells: Sequence[Sequence[str]], width: int | None) -> list[str]:
    shown = [index for index in range(len(columns.headings)) if any(row[index] for row in cells)]
    return columns.table(cells, width, shown)
