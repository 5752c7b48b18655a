"""Columns of a table: as wide as what stands in them, and cut down or left out where a terminal is narrow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ops.core.plain import cell


@dataclass(frozen=True)
class Columns:
    """A table's columns.

    Attributes
    ----------
    right : headings of those that are numbers.
    shrinks : one after the other, as long as a line is too long: a column is cut down to so many characters; at 0 it is
        left out.
    """

    headings: tuple[str, ...]
    right: frozenset[str]
    shrinks: tuple[tuple[str, int], ...]

    def fit(
        self, rows: Sequence[Sequence[str]], width: int | None, shown: Collection[int], least: Mapping[str, int]
    ) -> dict[int, int]:
        """Give the width of each column that is shown, so that a line has at most `width` characters.

        Parameters
        ----------
        width : None for as wide as needed.
        shown : which columns have anything to say.
        least : what must stay of a column as long as anything else can go.
        """
        widths = {
            index: max(len(self.headings[index]), *(len(cell(row[index])) for row in rows), 0)
            for index in sorted(shown)
        }
        shrinks = [(name, max(number, least.get(name, 0))) for name, number in self.shrinks]
        for name, number in (*shrinks, *((name, 0) for name in least)) if width is not None else ():
            index = self.headings.index(name)
            excess = sum(widths.values()) + len(widths) - 1 - (width or 0)
            if excess <= 0:
                break
            if index in widths and number:
                widths[index] = min(widths[index], max(number, widths[index] - excess))
            elif index in widths:
                del widths[index]
        return widths

    def line(self, cells: Sequence[str], widths: Mapping[int, int]) -> str:
        """Give one line of the table."""
        parts = []
        for index, width in widths.items():
            whole = cell(cells[index])
            text = whole if len(whole) <= width else f"{whole[: width - 1]}…"
            parts.append(text.rjust(width) if self.headings[index] in self.right else text.ljust(width))
        return " ".join(parts).rstrip()

    def begin(self, heading: str, widths: Mapping[int, int]) -> int:
        """Give where a column begins in a line."""
        at = self.headings.index(heading)
        return sum(width + 1 for index, width in widths.items() if index < at)
