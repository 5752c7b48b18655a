"""The table of groups and their lag."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

from ops.core.lag import LagRow
from ops.core.lasting import WhileRead
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
        *(("END", 0), ("COMMITTED", 0), ("TOPIC", 24), ("GROUP", 16), ("STATE", 8), ("MEMBERS", 0), ("PARTITIONS", 0)),
        *(("TOPIC", 12), ("STATE", 0), ("GROUP", 8), ("TOPIC", 4)),
    ),
)
UNKNOWN = "?"


def print_lag(rows: Sequence[LagRow], stream: TextIO) -> None:
    """Print the table once."""
    if is_terminal(stream):
        console_of(stream).print(lag_table(rows))
        return
    stream.write("".join(f"{line}\n" for line in lag_lines(rows)))
    stream.flush()


def show_live_lag(look: Callable[[], Sequence[LagRow]], stream: TextIO) -> None:
    """Show what `look` finds, every two seconds, until Ctrl-C; off a terminal one below the other."""
    from ops.render.live import EVERY_SECONDS  # not for a table shown once, which it costs 18 ms

    with WhileRead(), suppress(KeyboardInterrupt):
        if not is_terminal(stream):
            while True:
                print_lag(look(), stream)
                time.sleep(EVERY_SECONDS)
        from rich.live import Live

        with Live(lag_table(look()), console=console_of(stream), auto_refresh=False) as live:
            while True:
                time.sleep(EVERY_SECONDS)
                live.update(lag_table(look()), refresh=True)


def lag_table(rows: Sequence[LagRow]) -> RenderableType:
    """Give the table for a rich console; it fits the console's width."""
    return _Table(tuple(rows))


def lag_lines(rows: Sequence[LagRow]) -> list[str]:
    """Give the table as aligned lines, nothing cut off."""
    lines = [_HEADINGS, *(cells for _, cells in _cells(rows))]
    widths = _COLUMNS.fit(lines, None, range(len(_HEADINGS)), {})
    return [_COLUMNS.line(cells, widths) for cells in lines]


@dataclass(frozen=True)
class _Table:
    rows: tuple[LagRow, ...]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        rows = _cells(self.rows)
        widths = _COLUMNS.fit([cells for _, cells in rows], options.max_width, range(len(_HEADINGS)), {})
        yield text_of(_COLUMNS.line(_HEADINGS, widths), "bold", no_wrap=True, overflow="ellipsis")
        begin, width = _COLUMNS.begin("LAG", widths), widths[_HEADINGS.index("LAG")]
        for row, cells in rows:
            line = text_of(_COLUMNS.line(cells, widths), no_wrap=True, overflow="ellipsis")
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
