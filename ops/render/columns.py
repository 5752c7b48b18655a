"""Columns of a table: as wide as what stands in them; where a terminal is narrow, each table says what gives way first.

What decides stays for longest: a column is first cut down to what tells its cells apart (`ops.render.cuts`), and below
that only when nothing else is left to give. Words of any length are not cut at all: they go on in the next line.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from ops.core.plain import cell
from ops.render.cuts import Keep, begin_of, cut, least, width_of, wrapped

ALIKE = -1
"""In `Columns.shrinks`: the column is left out where all its cells are the same."""
_INDENT = "    "


@dataclass(frozen=True)
class Columns:
    """A table's columns.

    Attributes
    ----------
    right : headings of those that are numbers.
    shrinks : one after the other, as long as a line is too long: a column is cut down to so many characters, but not
        below what tells its cells apart; at 0 it is left out, at `ALIKE` only where it tells nothing apart.
    ends : headings of those whose end is kept before their begin.
    words : heading of the last column where it holds words: these are not cut but go on in the next line, and at 0
        stand below their row.
    gap : between two columns.
    """

    headings: tuple[str, ...]
    right: frozenset[str]
    shrinks: tuple[tuple[str, int], ...]
    ends: frozenset[str] = frozenset()
    words: str = ""
    gap: str = " "

    def fit(
        self,
        rows: Sequence[Sequence[str]],
        width: int | None,
        shown: Collection[int] | None = None,
        needed: Mapping[str, int] | None = None,
    ) -> Layout:
        """Return how a table's lines are laid out, so that none has more than `width` characters.

        Parameters
        ----------
        rows : of cells, without the headings.
        width : None for as wide as needed.
        shown : which columns have anything to say; None for all.
        needed : how much must stay of a column as long as anything else can go.
        """
        cells = {
            index: [cell(row[index]) for row in rows]
            for index in (range(len(self.headings)) if shown is None else sorted(shown))
        }
        widths = {
            index: max(width_of(text) for text in (self.headings[index], *column)) for index, column in cells.items()
        }
        if width is not None:
            natural = dict(widths)
            self._shrink(widths, cells, width, needed or {})
            self._give_back(widths, natural, width)
        cuts = {
            index: cut(set(cells[index]), widths[index], self._keep(index))
            for index in widths
            if self.headings[index] != self.words
        }
        below = bool(self.words) and len(self.headings) - 1 in cells.keys() - widths.keys()
        return Layout(self, widths, cuts, width, below)

    def table(
        self, rows: Sequence[Sequence[str]], width: int | None, shown: Collection[int] | None = None
    ) -> list[str]:
        """Return a whole table as lines; the parameters are those of `fit`."""
        layout = self.fit(rows, width, shown)
        return [layout.heading(), *(line for row in rows for line in layout.lines(row))]

    def _shrink(
        self, widths: dict[int, int], cells: Mapping[int, Sequence[str]], width: int, needed: Mapping[str, int]
    ) -> None:
        """Take from columns what is too much; first none is cut below what tells its cells apart."""
        steps = [(name, number, True) for name, number in self.shrinks]
        steps += [(name, number, False) for name, number in self.shrinks if number > 0]
        for name, number, gently in steps:
            index = self.headings.index(name)
            excess = sum(widths.values()) + (len(widths) - 1) * len(self.gap) - width
            if excess <= 0:
                return
            if index not in widths:
                continue
            number = max(number, needed[name]) if name in needed else number
            if number == ALIKE:
                if len(set(cells[index])) < 2:
                    del widths[index]
            elif number == 0:
                del widths[index]
            else:
                if gently and name == self.words:
                    number = max(number, *(width_of(word) for text in cells[index] for word in text.split()), 0)
                elif gently:
                    number = max(number, least(cells[index], self._keep(index)))
                widths[index] = min(widths[index], max(number, widths[index] - excess))
        for name in needed:
            if sum(widths.values()) + (len(widths) - 1) * len(self.gap) > width:
                widths.pop(self.headings.index(name), None)

    def _give_back(self, widths: dict[int, int], natural: Mapping[int, int], width: int) -> None:
        """Widen what was cut by the room that is left, since whole columns went; first what gave way last."""
        for name, _ in reversed(self.shrinks):
            index = self.headings.index(name)
            if index in widths:
                room = width - sum(widths.values()) - (len(widths) - 1) * len(self.gap)
                widths[index] = min(natural[index], widths[index] + max(room, 0))

    def _keep(self, index: int) -> Keep:
        return Keep.END if self.headings[index] in self.ends else Keep.BEGIN


@dataclass(frozen=True)
class Layout:
    """How the lines of one table are laid out.

    Attributes
    ----------
    widths : of each column that is shown, by its index.
    cuts : by column and text, what is shown of it; whole where it is not in it.
    below : words stand below their row.
    """

    columns: Columns
    widths: Mapping[int, int]
    cuts: Mapping[int, Mapping[str, str]] = field(repr=False)
    width: int | None
    below: bool

    def heading(self) -> str:
        """Return the line of headings."""
        return self.line(self.columns.headings)

    def lines(self, cells: Sequence[str]) -> list[str]:
        """Return a row's lines: one, and more where its words need them."""
        columns = self.columns
        if not columns.words or self.width is None:
            return [self.line(cells)]
        last = len(columns.headings) - 1
        words = cell(cells[last])
        if self.below:
            under = wrapped(words, self.width - len(_INDENT)) if words else []
            return [self.line(cells), *(f"{_INDENT}{line}" for line in under)]
        if last not in self.widths:
            return [self.line(cells)]
        first, *rest = wrapped(words, self.widths[last])
        begin = " " * self.begin(columns.words)
        return [self.line([*cells[:last], first]), *(f"{begin}{line}" for line in rest)]

    def begin(self, heading: str) -> int:
        """Return where a column begins in a line."""
        at = self.columns.headings.index(heading)
        return sum(width + len(self.columns.gap) for index, width in self.widths.items() if index < at)

    def line(self, cells: Sequence[str]) -> str:
        """Return a row's first line, all its cells in it."""
        parts = []
        for index, width in self.widths.items():
            whole = cell(cells[index])
            text = self.cuts.get(index, {}).get(whole, whole)
            if width_of(text) > width:  # a heading
                text = f"{begin_of(text, width - 1)}…"
            blanks = " " * (width - width_of(text))
            parts.append(f"{blanks}{text}" if self.columns.headings[index] in self.columns.right else f"{text}{blanks}")
        line = self.columns.gap.join(parts).rstrip()
        return line if self.width is None or width_of(line) <= self.width else f"{begin_of(line, self.width - 1)}…"
