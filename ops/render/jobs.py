"""The queue of background jobs as lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from ops.core.amounts import counted, in_seconds
from ops.core.plain import cell
from ops.render.columns import Columns
from ops.render.cuts import hanging
from ops.render.renewal import EVERY_SECONDS, headline, renew
from ops.render.streams import width_of_terminal

_COLUMNS = Columns(
    ("WORKER", "JOBS", "OLDEST"), right=frozenset({"JOBS", "OLDEST"}), shrinks=(("WORKER", 16), ("OLDEST", 0))
)
_BARS = "▁▂▃▄▅▆▇█"
_PLOTTED = 60
_AROUND_BARS = 50  # characters: the words before them, the depth now and the highest one


def queue_lines(queue: dict[str, Any], running: int | None, width: int | None = None) -> list[str]:
    """Return a queue as lines.

    Parameters
    ----------
    queue : as `ops.jobs.queue.Queue.as_json` gives it.
    running : jobs in work on this host; None where nobody knows.
    width : of the terminal; None for as wide as needed.
    """
    jobs = queue["jobs"]
    at_work = "" if running is None else f", {running} of them running on this host"
    since = f", the oldest for {age(queue['oldest_seconds'])}" if jobs else ""
    lines = [f"{cell(queue['topic'])}: {counted(jobs, 'job')} unfinished{at_work}{since}"]
    if queue["read"] < jobs:
        lines.append(f"by worker, of the first {queue['read']} that were read:")
    rows = [(one["worker"], str(one["jobs"]), age(one["oldest_seconds"])) for one in queue["workers"]]
    lines = [part for line in lines for part in (hanging(line, width) if width else [line])]
    return [*lines, *_COLUMNS.table(rows, width)] if rows else lines


def plot(depths: Sequence[int]) -> str:
    """Plot queue depths over time, a character each, the highest one full."""
    highest = max(depths, default=0)
    steps = len(_BARS) - 1
    bars = "".join(_BARS[-(-depth * steps // highest) if highest else 0] for depth in depths)
    return f"{bars} {depths[-1] if depths else 0} (at most {highest})"


def watch_queue(look: Callable[[], tuple[dict[str, Any], int | None]], stream: TextIO) -> None:
    """Show a queue every two seconds, with a plot of its depth, until Ctrl-C; off a terminal one below the other."""
    depths: deque[int] = deque(maxlen=_PLOTTED)

    def seen() -> tuple[dict[str, Any], int | None]:
        queue, running = look()
        depths.append(queue["jobs"])
        return queue, running

    def lines(view: tuple[dict[str, Any], int | None], width: int | None = None) -> list[str]:
        first, *rest = queue_lines(*view, width)
        bars = list(depths)[-_PLOTTED if width is None else -max(width - _AROUND_BARS, 1) :]
        return [headline("", first), *rest, f"depth, a bar each {in_seconds(EVERY_SECONDS)}: {plot(bars)}"]

    renew(seen, lines, lambda view: "\n".join(lines(view, width_of_terminal(stream))), stream, EVERY_SECONDS)


def age(seconds: float) -> str:
    """Say a time in its two largest units."""
    whole = max(0, round(seconds))
    days, hours, minutes = whole // 86_400, whole % 86_400 // 3600, whole % 3600 // 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"
