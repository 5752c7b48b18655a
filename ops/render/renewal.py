"""A view that renews itself until Ctrl-C, or until nobody reads it; off a terminal one below the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO, TypeVar

from ops.core.lasting import WhileRead
from ops.core.plain import cell
from ops.render.console import console_of
from ops.render.streams import is_terminal

if TYPE_CHECKING:
    from rich.console import RenderableType

EVERY_SECONDS = 2.0
_Seen = TypeVar("_Seen")


def renew(
    look: Callable[[], _Seen],
    plain: Callable[[_Seen], Iterable[str]],
    drawn: Callable[[_Seen], RenderableType],
    stream: TextIO,
    every_seconds: float = EVERY_SECONDS,
) -> None:
    """Show what `look` finds, again and again, until Ctrl-C.

    Parameters
    ----------
    plain : gives it as lines, for where no terminal is.
    drawn : gives it for a terminal.
    """
    with WhileRead(), suppress(KeyboardInterrupt):
        if not is_terminal(stream):
            while True:
                stream.write("".join(f"{line}\n" for line in plain(look())))
                stream.flush()
                time.sleep(every_seconds)
        from rich.live import Live

        with Live(drawn(look()), console=console_of(stream), auto_refresh=False) as live:
            while True:
                time.sleep(every_seconds)
                live.update(drawn(look()), refresh=True)


def headline(place: str, text: str) -> str:
    """Return the first line of a view: where, when it was looked at by this machine's clock, and what there is."""
    return cell(" ".join(part for part in (place, f"{time.strftime('%H:%M:%S')}:", text) if part))
