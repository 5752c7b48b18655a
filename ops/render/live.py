"""The table of processes that renews itself; above it where and when that is, and how many of how many run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TextIO

from ops.core.protocol import ProcessReport
from ops.core.records import dataclass, replace
from ops.core.sight import Zombie
from ops.core.states import State
from ops.render.console import text_of
from ops.render.cuts import hanging
from ops.render.processes import HostRows, plain_lines, table
from ops.render.renewal import headline, renew

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult


def show_live(look: Callable[[], Iterable[HostRows]], stream: TextIO, place: str) -> None:
    """Show what `look` finds, every two seconds, until Ctrl-C.

    Parameters
    ----------
    place : where that is: the stage, or the stage and host.
    """

    def seen() -> View:
        hosts = tuple(look())
        return View(headline(place, count_text(hosts)), hosts)

    renew(seen, lambda view: (view.head, *plain_lines(view.hosts)), lambda view: view, stream)


def count_text(hosts: Sequence[HostRows]) -> str:
    """Say how many of the processes that are to be run do, and what the others do: `5 of 6 running, 1 dead`."""
    found = [(report.state, _zombies(host, report)) for host in hosts for report in host.processes]
    states = Counter(state for state, zombies in found if Zombie.SUPERFLUOUS not in zombies)
    zombies = Counter(zombie for _, some in found for zombie in some)
    parts = [f"{states[State.RUNNING]} of {sum(states.values())} running"]
    parts += [f"{states[state]} {state}" for state in State if states[state] and state is not State.RUNNING]
    parts += [f"{zombies[zombie]} {zombie}" for zombie in Zombie if zombies[zombie]]
    return ", ".join(parts)


@dataclass(frozen=True)
class View:
    """One look; where the terminal is too low for all rows, those of processes that just run are left out first."""

    head: str
    hosts: tuple[HostRows, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        head = [text_of(line, "bold") for line in hanging(self.head, options.max_width)]
        yield from head
        lines = len(console.render_lines(table(self.hosts), options, pad=False))
        excess = lines + len(head) - options.size.height
        fewer, left = _without(self.hosts, excess + 1) if excess > 0 else (self.hosts, 0)
        if left:
            yield text_of(f"{left} that run are not shown: the terminal is too low", "bright_black")
        yield table(fewer)


def _without(hosts: Sequence[HostRows], number: int) -> tuple[tuple[HostRows, ...], int]:
    """Return the hosts without so many processes that just run, the last ones, and how many these are."""
    fewer, left = [], 0
    for host in reversed(hosts):
        kept = []
        for report in reversed(host.processes):
            if left < number and report.state is State.RUNNING and not report.message and not _zombies(host, report):
                left += 1
            else:
                kept.append(report)
        fewer.append(replace(host, processes=tuple(reversed(kept))))
    return tuple(reversed(fewer)), left


def _zombies(host: HostRows, report: ProcessReport) -> tuple[Zombie, ...]:
    row = host.rows.get(report.name)
    return row.zombies if row else ()
