"""The table of groups and their lag."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TextIO

from ops.core.amounts import counted
from ops.core.lag import LagRow
from ops.core.plain import cell
from ops.core.records import dataclass
from ops.render.columns import Columns
from ops.render.console import console_of, text_of
from ops.render.streams import is_terminal

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

_HEADINGS = ("GROUP", "STATE", "TOPIC", "PARTITIONS", "COMMITTED", "END", "LAG", "MEMBERS")
_COLUMNS = Columns(
    _HEADINGS,
    right=frozenset(_HEADINGS[3:]),
    shrinks=(
        *(("END", 0), ("COMMITTED", 0), ("TOPIC", 24), ("GROUP", 24), ("PARTITIONS", 0), ("GROUP", 16), ("TOPIC", 12)),
        *(("MEMBERS", 0), ("GROUP", 8), ("TOPIC", 4), ("STATE", 8), ("STATE", 0)),
    ),
)
UNKNOWN = "?"


def print_lag(rows: Sequence[LagRow], stream: TextIO, remarks: Sequence[str] = ()) -> None:
    """Print the table once, and below it what is to be done before an unknown lag is known."""
    if is_terminal(stream):
        console_of(stream).print(lag_table(rows), *(text_of(one, "magenta") for one in remarks), sep="\n")
        return
    stream.write("".join(f"{line}\n" for line in (*lag_lines(rows), *map(cell, remarks))))
    stream.flush()


def show_live_lag(look: Callable[[], Sequence[LagRow]], stream: TextIO, place: str = "") -> None:
    """Show what `look` finds, every two seconds, until Ctrl-C; off a terminal one below the other.

    Parameters
    ----------
    place : where that is: the stage; empty where nobody knows.
    """
    from ops.render.renewal import headline, renew  # not for a table shown once

    def seen() -> tuple[str, Sequence[LagRow]]:
        rows = look()
        return headline(place, behind_text(rows)), rows

    def drawn(view: tuple[str, Sequence[LagRow]]) -> RenderableType:
        from rich.console import Group

        return Group(text_of(view[0], "bold", no_wrap=True, overflow="ellipsis"), lag_table(view[1]))

    renew(seen, lambda view: (view[0], *lag_lines(view[1])), drawn, stream)


def behind_text(rows: Sequence[LagRow]) -> str:
    """Say how far all groups together are behind: `132 behind in 2 groups, 1 unknown`."""
    groups = len({row.group for row in rows})
    unknown = len({row.group for row in rows if row.unknown or row.lag is None})
    text = f"{sum(row.lag or 0 for row in rows)} behind in {counted(groups, 'group')}"
    return f"{text}, {unknown} unknown" if unknown else text


def lag_table(rows: Sequence[LagRow]) -> RenderableType:
    """Give the table for a rich console; it fits the console's width."""
    return _Table(tuple(rows))


def lag_lines(rows: Sequence[LagRow]) -> list[str]:
    """Give the table as aligned lines, nothing cut off."""
    return _COLUMNS.table([cells for _, cells in _cells(rows)], None)


@dataclass(frozen=True)
class _Table:
    rows: tuple[LagRow, ...]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        rows = _cells(self.rows)
        layout = _COLUMNS.fit([cells for _, cells in rows], options.max_width)
        yield text_of(layout.heading(), "bold", no_wrap=True, overflow="ellipsis")
        begin, width = layout.begin("LAG"), layout.widths[_HEADINGS.index("LAG")]
        for row, cells in rows:
            line = text_of(layout.line(cells), no_wrap=True, overflow="ellipsis")
            line.stylize(
                "magenta" if row.unknown or row.lag is None else "yellow" if row.lag else "", begin, begin + width
            )
            yield line


def _cells(rows: Sequence[LagRow]) -> list[tuple[LagRow, list[str]]]:
    """Give the cells; a group's name and state stand in its first row alone."""
    result = []
    last = ""
    for row in rows:
        own = (row.group, row.state) if row.group != last else ("", "")
        last = row.group
        numbers = (str(row.partitions), _number(row.committed), _number(row.end), _lag(row), str(row.members))
        result.append((row, [*own, row.topic or "-", *numbers]))
    return result


def _number(value: int | None) -> str:
    return UNKNOWN if value is None else str(value)


def _lag(row: LagRow) -> str:
    return f"{row.lag}+{UNKNOWN}" if row.unknown and row.lag is not None else _number(row.lag)
