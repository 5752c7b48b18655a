"""The terminal that rich draws on: colours are ours, texts are somebody else's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from ops.core.guarded import styled
from ops.core.plain import cell, shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


_UNBOUND = 1 << 20  # a pipe that counts as a terminal (TTY_COMPATIBLE) has no width: nothing is cut there


def console_of(stream: TextIO) -> Console:
    """Make the console of a stream: whatever is drawn on it, its texts come out without secrets and escapes."""
    from rich.console import Console
    from rich.segment import Segment

    class Plain(Console):
        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                if control is None:
                    yield Segment(shown(text), style.update_link(None) if style and style.link else style)
                else:
                    yield Segment(text, style, control)

    known = stream.isatty() or "COLUMNS" in os.environ
    return Plain(file=styled(stream), width=None if known else _UNBOUND, highlight=False, markup=False, emoji=False)


def text_of(text: str, style: str = "", **options: Any) -> Text:
    """Make a rich text of one line; its secrets and escapes are out before it is measured, cut and wrapped."""
    from rich.text import Text

    return Text(cell(text), style=style, **options)
