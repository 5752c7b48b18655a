"""The picture of a terminal: text with its colours, as SVG, for light and for dark ground."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.style import Style
from rich.text import Text

from ops.render.svg import Drawing

_CELL, _LINE, _SIZE = 7.8, 18.0, 13.0
_MARGIN, _BAR = 16.0, 34.0
# class -> colour on light ground, on dark ground
_COLOURS = {
    "plain": ("#1f2328", "#e6edf3"),
    "dim": ("#59636e", "#9198a1"),
    "red": ("#c21c26", "#ff7b72"),
    "green": ("#1a7f37", "#56d364"),
    "yellow": ("#8a5d00", "#e3b341"),
    "cyan": ("#0a7285", "#39c5cf"),
    "blue": ("#0969da", "#79c0ff"),
    "magenta": ("#8250df", "#d2a8ff"),
}
# ANSI's numbers of colours, plain ones and bright ones
_ANSI = {8: "dim"} | {
    number + bright: name
    for number, name in enumerate(("red", "green", "yellow", "blue", "magenta", "cyan"), start=1)
    for bright in (0, 8)
}
_FILLS = {"ground": ("#f6f8fa", "#161b22"), "bar": ("#d8dee4", "#30363d")}
_FONT = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"


def screen(text: str, title: str, *, columns: int = 100) -> str:
    """Draw what a terminal showed as a self-contained SVG.

    Parameters
    ----------
    text : its lines, coloured by ANSI escapes; all other escapes are left out.
    title : what stands above it.
    columns : of the terminal; longer lines are wrapped as it would.
    """
    console = Console(width=columns, color_system=None, highlight=False)
    lines = [row for line in Text.from_ansi(text).split("\n") for row in _rows(line, console, columns)]
    width = columns * _CELL + 2 * _MARGIN
    height = _BAR + len(lines) * _LINE + _MARGIN
    picture = Drawing(_style())
    picture.box("bar", 0, 0, width, _BAR - 10)
    picture.text("title", width / 2, 17, title)
    for number, row in enumerate(lines):
        for column, run, kind in _runs(row, console):
            where = _MARGIN + column * _CELL, _BAR + (number + 0.75) * _LINE
            picture.text(kind, *where, run.replace(" ", "\N{NO-BREAK SPACE}"), width=len(run) * _CELL)
    return picture.finish(width, height, title, "\n".join(row.plain.rstrip() for row in lines))


def _rows(line: Text, console: Console, columns: int) -> Sequence[Text]:
    return list(line.wrap(console, columns, overflow="fold")) or [Text()]


def _runs(row: Text, console: Console) -> Iterator[tuple[int, str, str]]:
    """Yield what stands in one style, with its column; blanks at both ends of it are left out."""
    column = 0
    for segment in row.render(console):
        run = segment.text.strip()
        if run:
            yield column + len(segment.text) - len(segment.text.lstrip()), run, _kind(segment.style)
        column += len(segment.text)


def _kind(style: Style | None) -> str:
    """Return the classes of a style."""
    if style is None:
        return "plain"
    number = style.color.number if style.color is not None else None
    hue = "dim" if style.dim else "plain" if number is None else _ANSI.get(number, "plain")
    return f"{hue} bold" if style.bold else hue


def _style() -> str:
    sheets = [
        "".join(f".{name}{{fill:{pair[ground]}}}" for name, pair in {**_COLOURS, **_FILLS}.items()) for ground in (0, 1)
    ]
    shapes = f"text{{{_FONT}font-size:{_SIZE}px}}.bold{{font-weight:700}}"
    title = ".title{font-size:12px;text-anchor:middle;fill:#59636e}"
    dark = f"{sheets[1]}.title{{fill:#9198a1}}"
    return f"{shapes}{title}{sheets[0]}@media (prefers-color-scheme:dark){{{dark}}}"
