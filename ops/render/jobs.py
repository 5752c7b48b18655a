"""The queue of background jobs as lines."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TextIO

from ops.core.lasting import WhileRead
from ops.core.plain import cell
from ops.render.columns import Columns
from ops.render.console import console_of
from ops.render.streams import is_terminal

_HEADINGS = ("WORKER", "JOBS", "OLDEST")
_BARS = "▁▂▃▄▅▆▇█"
_PLOTTED = 60
EVERY_SECONDS = 2.0


def queue_lines(queue: dict[str, Any], running: int | None) -> list[str]:
    """Give a queue as lines.

    Parameters
    ----------
    queue : as `ops.jobs.queue.Queue.as_json` gives it.
    running : jobs in work on this host; None where nobody knows.
    """
    jobs = queue["jobs"]
    at_work = "" if running is None else f", {running} of them running on this host"
    since = f", the oldest for {age(queue['oldest_seconds'])}" if jobs else ""
    lines = [f"{cell(queue['topic'])}: {jobs} job{'' if jobs == 1 else 's'} unfinished{at_work}{since}"]
    if queue["read"] < jobs:
        lines.append(f"by worker, of the first {queue['read']} that were read:")
    rows = [_HEADINGS, *((one["worker"], str(one["jobs"]), age(one["oldest_seconds"])) for one in queue["workers"])]
    if len(rows) > 1:
        columns = Columns(_HEADINGS, right=frozenset(_HEADINGS[1:]), shrinks=())
        widths = columns.fit(rows, None, range(len(_HEADINGS)), {})
        lines += [columns.line(cells, widths) for cells in rows]
    return lines


def plot(depths: Sequence[int]) -> str:
    """Plot queue depths over time, a character each, the highest one full."""
    highest = max(depths, default=0)
    steps = len(_BARS) - 1
    bars = "".join(_BARS[-(-depth * steps // highest) if highest else 0] for depth in depths)
    return f"{bars} {depths[-1] if depths else 0} (at most {highest})"


def watch_queue(look: Callable[[], tuple[dict[str, Any], int | None]], stream: TextIO) -> None:
    """Show a queue every two seconds, with a plot of its depth, until Ctrl-C; off a terminal one below the other."""
    depths: deque[int] = deque(maxlen=_PLOTTED)

    def text() -> str:
        queue, running = look()
        depths.append(queue["jobs"])
        return "\n".join([*queue_lines(queue, running), f"depth, a bar each {EVERY_SECONDS:g} s: {plot(depths)}"])

    with WhileRead(), suppress(KeyboardInterrupt):
        if not is_terminal(stream):
            while True:
                stream.write(f"{text()}\n")
                stream.flush()
                time.sleep(EVERY_SECONDS)
        from rich.live import Live

        with Live(text(), console=console_of(stream), auto_refresh=False) as live:
            while True:
                time.sleep(EVERY_SECONDS)
                live.update(text(), refresh=True)


def age(seconds: float) -> str:
    """Say a time in its two largest units."""
    whole = max(0, round(seconds))
    days, hours, minutes = whole // 86_400, whole % 86_400 // 3600, whole % 3600 // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
