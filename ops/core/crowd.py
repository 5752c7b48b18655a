"""Members and processes that nobody can tell apart, and how people are told of them."""

from __future__ import annotations

from collections.abc import Iterable

from ops.core.cluster import Member
from ops.core.records import dataclass
from ops.core.standing import Process

_NAMED = 6


@dataclass(frozen=True)
class Crowd:
    """Members and processes that nobody can tell apart.

    Attributes
    ----------
    processes : living, or of which nobody knows; each may be any of the members.
    members : each may be any of the processes.
    ended : processes on the same hosts whose members may be left for a while.
    absent : how many of the processes are no members.
    surplus : how many of the members are none of the processes.
    """

    processes: tuple[Process, ...]
    members: tuple[Member, ...]
    ended: tuple[Process, ...] = ()
    absent: int = 0
    surplus: int = 0

    def absent_text(self, count: int) -> str:
        """Say that some are no members: `1 of 3 processes on web1 is not a member (web1 small-0, ...)`."""
        word = "is not a member" if count == 1 else "are no members"
        frozen = [one.name for one in self.processes if one.frozen]
        hint = f"; frozen: {names_text(frozen)}" if frozen else ""
        names = names_text(one.name for one in self.processes)
        return f"{count} of {len(self.processes)} processes on {self._hosts} {word} ({names}{hint})"

    def surplus_text(self) -> str:
        """Say that there are more members than processes."""
        word = "is no process" if self.surplus == 1 else "are no processes"
        members = names_text(map(str, self.members))
        return f"{self.surplus} of {len(self.members)} members {word} of this application ({members})"

    def left_text(self) -> str:
        """Say that members are left of processes that have ended."""
        members = names_text(map(str, self.members))
        ended = names_text(f"{one.name} is {one.state}" for one in self.ended)
        return f"{self.surplus} of {len(self.members)} members ({members}) still there, {ended}"

    @property
    def _hosts(self) -> str:
        return names_text(dict.fromkeys(one.host for one in self.processes))


def names_text(names: Iterable[str]) -> str:
    """Name some for people, many of them cut short."""
    every = list(names)
    rest = len(every) - _NAMED
    return ", ".join(every[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
