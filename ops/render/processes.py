"""Processes as a table: hosts x slots, coloured on a terminal, aligned plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from ops.core.amounts import counted
from ops.core.plain import cell, lines_of
from ops.core.protocol import ProcessReport
from ops.core.records import dataclass, field
from ops.core.sight import Row
from ops.core.states import ALIVE, State
from ops.render.columns import Columns
from ops.render.console import console_of, text_of
from ops.render.cuts import hanging
from ops.render.streams import is_terminal

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

STYLES = {
    State.RUNNING: "green",
    State.STARTING: "yellow",
    State.STANDBY: "cyan",
    State.STOPPING: "yellow",
    State.STOPPED: "bright_black",
    State.DEAD: "bold red",
    State.CRASH_LOOPING: "bold red",
    State.UNKNOWN: "magenta",
}
_HEADINGS = ("HOST", "PROCESS", "STATE", "PID", "UP", "CPU%", "RSS", "THR", "RST", "PARTS", "LAG", "RELEASE", "NOTES")
_ALWAYS = 4  # these columns are there even when empty
_COLUMNS = Columns(
    _HEADINGS,
    right=frozenset({"PID", "UP", "CPU%", "RSS", "THR", "RST", "PARTS", "LAG"}),
    shrinks=(
        *(("THR", 0), ("HOST", 24), ("PROCESS", 24), ("RELEASE", 8), ("NOTES", 12), ("CPU%", 0), ("RSS", 0)),
        *(("HOST", 16), ("PROCESS", 12), ("UP", 0), ("RST", 0), ("NOTES", 0), ("HOST", 8), ("PROCESS", 8)),
        *((name, 0) for name in ("PARTS", "RELEASE", "LAG", "PID")),
    ),
    ends=frozenset({"RELEASE"}),
)
_LOG_LINES = 5  # of a crash-looping process: a fleet of them should still be readable
UNKNOWN = "?"


@dataclass(frozen=True)
class HostRows:
    """One host's part of the table.

    Attributes
    ----------
    trouble : why the host did not answer, or not in full; shown below the table.
    rows : by process, what the cluster says of it; without, its own record has to do.
    """

    host: str
    processes: tuple[ProcessReport, ...]
    trouble: str = ""
    rows: Mapping[str, Row] = field(default_factory=dict)

    @classmethod
    def below(cls, lines: Iterable[str]) -> HostRows:
        """Give what is shown below the table and concerns no host."""
        return cls("", (), "\n".join(line for one in lines for line in lines_of(one)))


def print_processes(hosts: Iterable[HostRows], stream: TextIO) -> None:
    """Print the table, and below it what is remarkable."""
    hosts = tuple(hosts)
    if is_terminal(stream):
        console_of(stream).print(table(hosts))
        return
    for line in plain_lines(hosts):
        stream.write(f"{line}\n")
    stream.flush()


def table(hosts: Sequence[HostRows]) -> RenderableType:
    """Give the table for a rich console, remarks included; it fits the console's width."""
    return _Table(tuple(hosts))


@dataclass(frozen=True)
class _Table:
    hosts: tuple[HostRows, ...]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        columns, rows = _columns(self.hosts)
        least = {"NOTES": _zombies_width(self.hosts)}
        layout = _COLUMNS.fit([cells for _, cells in rows], options.max_width, columns, least)
        yield text_of(layout.heading(), "bold", no_wrap=True, overflow="ellipsis")
        begin, noted = layout.begin("STATE"), layout.begin("NOTES")
        found = {(host.host, name): len(zombies(row)) for host in self.hosts for name, row in host.rows.items()}
        name = ""
        for report, cells in rows:
            name = cells[0] or name
            line = text_of(layout.line(cells), no_wrap=True, overflow="ellipsis")
            line.stylize(STYLES[report.state], begin, begin + len(report.state))
            line.stylize("bold red", noted, noted + found.get((name, report.name), 0))
            yield line
        for remark in remarks(self.hosts):
            yield from (text_of(line, "yellow") for line in hanging(remark, options.max_width))


def plain_lines(hosts: Sequence[HostRows]) -> list[str]:
    """Give the table as aligned lines, nothing cut off, remarks included."""
    columns, rows = _columns(hosts)
    return [*_COLUMNS.table([cells for _, cells in rows], None, columns), *remarks(hosts)]


def remarks(hosts: Sequence[HostRows]) -> list[str]:
    """Give a line for everything that a table has no place for."""
    lines = []
    for host in hosts:
        for one in host.processes:
            if one.message:
                lines += lines_of(f"{host.host} {one.name}: {one.message}")
            if one.state is State.CRASH_LOOPING:
                lines += [f"  | {cell(line)}" for line in one.log[-_LOG_LINES:]]
        lines += _troubles(host)
    return lines


def _troubles(host: HostRows) -> list[str]:
    """Give the lines of what went wrong with a host; those that concern no host are several texts."""
    if host.host:
        return lines_of(host.trouble) if host.trouble else []
    return [cell(line) for line in host.trouble.split("\n")] if host.trouble else []


def seconds_text(seconds: float) -> str:
    """Give a duration in at most six characters: `0.8s`, `59s`, `4m10s`, `3h05m`, `12d3h`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = int(seconds + 0.05)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600}h"


def bytes_text(count: int) -> str:
    """Give a size in at most five characters: `640K`, `64M`, `1.5G`."""
    if count < 1 << 20:
        return f"{count >> 10}K"
    if count < 1 << 30:
        return f"{count >> 20}M"
    return f"{count / (1 << 30):.1f}G"


def partitions_owned(report: ProcessReport) -> int | None:
    """Count the partitions that a consumer says it owns; None where none says so."""
    groups = _groups(report)
    topics = [owned for group in groups for owned in _mapping(group.get("assignment")).values()]
    return sum(len(owned) for owned in topics if isinstance(owned, list)) if groups else None


def notes(report: ProcessReport) -> str:
    """Say in short what went wrong in a consumer's life."""
    words = (("rejoin_heals", "healed", "healed"), ("failed", "failed", "failed"), ("dead_lettered", "dead letter", ""))
    counts = [
        (sum(one[key] for one in _groups(report) if isinstance(one.get(key), int)), *each) for key, *each in words
    ]
    return ", ".join(counted(count, one, many) for count, one, many in counts if count)


def zombies(row: Row | None) -> str:
    """Say in short what a process is that it should not be."""
    return ", ".join(row.zombies) if row else ""


def _seen(report: ProcessReport, row: Row) -> bool:
    """Whether a process is or should be a member of a group; the member of a dead one may be left."""
    return bool(report.state in ALIVE and row.groups) or any(place.member_id for place in row.places)


def _partitions(report: ProcessReport, row: Row | None) -> int | None:
    """Count its partitions by the brokers' word, else by its own."""
    known = row.partitions if row and _seen(report, row) else None
    return partitions_owned(report) if known is None else known


def _lag(report: ProcessReport, row: Row | None) -> str:
    if row is None or not _seen(report, row) or any(place.untold for place in row.places):
        return ""
    return UNKNOWN if row.lag is None else str(row.lag)


def _groups(report: ProcessReport) -> list[dict[str, Any]]:
    return [one for one in _mapping(_mapping(report.consumer).get("groups")).values() if isinstance(one, dict)]


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _columns(hosts: Sequence[HostRows]) -> tuple[list[int], list[tuple[ProcessReport, list[str]]]]:
    """Give the rows, and which columns have anything to say."""
    rows = []
    for host in hosts:
        name = host.host
        for report in host.processes:
            rows.append((report, [name, *_cells(report, host.rows.get(report.name))]))
            name = ""
    kept = [index for index in range(len(_HEADINGS)) if index < _ALWAYS or any(row[index] for _, row in rows)]
    return kept, rows


def _zombies_width(hosts: Sequence[HostRows]) -> int:
    """Give how much of the notes must stay: all zombies, and a mark where something follows that is cut off."""
    return max((len(zombies(row)) + 1 for host in hosts for row in host.rows.values()), default=0)


def _cells(report: ProcessReport, row: Row | None) -> list[str]:
    def text(value: float | None, form: str = "{}") -> str:
        return "" if value is None else form.format(value)

    return [
        report.name,
        str(report.state),
        text(report.pid),
        "" if report.uptime_seconds is None else seconds_text(report.uptime_seconds),
        text(report.cpu_percent, "{:.1f}"),
        "" if report.rss_bytes is None else bytes_text(report.rss_bytes),
        text(report.threads),
        str(report.restarts) if report.restarts else "",
        text(_partitions(report, row)),
        _lag(report, row),
        report.release,
        ", ".join(filter(None, (zombies(row), notes(report)))),
    ]
