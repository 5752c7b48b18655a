"""The few elements that pictures here are made of: SVG text, escaped, without script, font or reference to anything."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape, quoteattr

from ops.core.plain import shown

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2


def clean(text: str) -> str:
    """Escape a text; what XML cannot hold is replaced."""
    return escape(_held(text))


def _held(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", shown(text))


def shorten(text: str, characters: int) -> str:
    """Cut a text in the middle where it is too long: both its ends tell names apart."""
    text = shown(text)  # before it is cut: half a secret would not be known any more
    if len(text) <= characters:
        return text
    head = (characters - 1) // 2
    return f"{text[:head]}\N{HORIZONTAL ELLIPSIS}{text[len(text) - (characters - 1 - head) :]}"


def number(value: float) -> str:
    """Give a coordinate, a hundredth of a unit exact."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


class Drawing:
    """A picture in the making; coordinates grow to the right and down.

    Parameters
    ----------
    style : its style sheet, by class.
    """

    def __init__(self, style: str) -> None:
        self._style = style
        self._parts: list[str] = []

    def box(
        self, kind: str, x: float, y: float, width: float, height: float, *, round_: float = 0, tip: str = ""
    ) -> None:
        """Draw a rectangle; `tip` is shown under the pointer."""
        corner = f' rx="{number(round_)}"' if round_ else ""
        size = f'x="{number(x)}" y="{number(y)}" width="{number(max(width, 0))}" height="{number(height)}"'
        inside = f"><title>{clean(tip)}</title></rect>" if tip else "/>"
        self._parts.append(f'<rect class="{kind}" {size}{corner}{inside}')

    def line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        """Draw a line."""
        ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
        self._parts.append(f'<line class="{kind}" {ends}/>')

    def text(self, kind: str, x: float, y: float, text: str, *, tip: str = "", width: float = 0) -> None:
        """Write a text; its class says which end of it is at x, `width` how wide it is in any font."""
        title = f"<title>{clean(tip)}</title>" if tip and tip != text else ""
        size = f' textLength="{number(width)}"' if width else ""
        self._parts.append(f'<text class="{kind}" x="{number(x)}" y="{number(y)}"{size}>{title}{clean(text)}</text>')

    def finish(self, width: float, height: float, title: str, description: str) -> str:
        """Give the whole picture."""
        size = f'width="{number(width)}" height="{number(height)}" viewBox="0 0 {number(width)} {number(height)}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label={quoteattr(_held(title))} {size}>'
        about = f"<title>{clean(title)}</title><desc>{clean(description)}</desc><style>{self._style}</style>"
        ground = f'<rect class="ground" width="{number(width)}" height="{number(height)}"/>'
        return "\n".join([head, about, ground, *self._parts, "</svg>", ""])
