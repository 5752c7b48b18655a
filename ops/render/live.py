"""A table that renews itself until Ctrl-C, or until nobody reads it; off a terminal one below the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TextIO

from ops.core.lasting import WhileRead
from ops.render.console import console_of
from ops.render.processes import HostRows, print_processes, table
from ops.render.streams import is_terminal

EVERY_SECONDS = 2.0


def show_live(look: Callable[[], Iterable[HostRows]], stream: TextIO) -> None:
    """Show what `look` finds, every two seconds, until Ctrl-C."""
    with WhileRead(), suppress(KeyboardInterrupt):
        if not is_terminal(stream):
            while True:
                print_processes(look(), stream)
                time.sleep(EVERY_SECONDS)
        from rich.live import Live

        with Live(table(tuple(look())), console=console_of(stream), auto_refresh=False) as live:
            while True:
                time.sleep(EVERY_SECONDS)
                live.update(table(tuple(look())), refresh=True)
