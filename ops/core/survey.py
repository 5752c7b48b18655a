"""Looks at processes and cluster together, and looks again before it calls anything a zombie.

What a single look shows may be on its way to something else: a process that has just started joins its group in a
moment, a rebalance hides members, a record is a second old. So whatever is wrong has to be there in two looks a second
apart. Where nothing is wrong, one look is all there is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence

from ops.core.advance import APART_SECONDS, COMMIT_SECONDS
from ops.core.cluster import Group
from ops.core.dead_letters import DeadLetters, dead_letters
from ops.core.errors import ExitCode, OpsError
from ops.core.observation import observe
from ops.core.records import dataclass, replace
from ops.core.sight import HostReport, Observation, Remark, Row, Zombie
from ops.core.states import exit_code_of_states, worst_exit_code

_MOST_LOOKS = 3  # two more, for what turned up in the second
_LASTING = frozenset({Zombie.OLD_RELEASE, Zombie.SUPERFLUOUS})  # no second look makes it better

Key = tuple[Zombie, str, str, str, str]


@dataclass(frozen=True)
class Survey:
    """What one or more looks have shown.

    Attributes
    ----------
    observation : the last one, without what was not confirmed.
    asked : the groups that are known; empty where nobody tells any, and nobody was asked.
    letters : the dead letters of the groups.
    cluster_error : why the cluster could not be asked; empty if it could.
    """

    observation: Observation
    asked: tuple[str, ...] = ()
    letters: tuple[DeadLetters, ...] = ()
    cluster_error: str = ""

    @property
    def exit_code(self) -> ExitCode:
        """Take the worst: 4 unknown or not to be asked, 1 dead or a zombie, 3 not running, 0."""
        states = exit_code_of_states(row.report.state for row in self.observation.rows)
        cluster = ExitCode.UNREACHABLE if self.cluster_error else ExitCode.DONE
        return worst_exit_code((states, self.observation.exit_code, cluster))

    @property
    def texts(self) -> tuple[str, ...]:
        """What is remarkable, a line each."""
        trouble = f"the lag is unknown, the cluster could not be asked: {self.cluster_error}"
        letters = (one.text for one in self.letters if one.count)
        remarks = (one.text for one in self.observation.remarks)
        return (*([trouble] if self.cluster_error else []), *remarks, *letters)

    def row(self, host: str, process: str) -> Row | None:
        """Give one process's row."""
        return next((one for one in self.observation.rows if (one.host, one.report.name) == (host, process)), None)


@dataclass(frozen=True)
class _Sight:
    at: float
    observation: Observation
    groups: tuple[Group, ...]
    asked: tuple[str, ...]
    letters: tuple[DeadLetters, ...]
    error: str


class Surveyor:
    """Looks at a stage.

    Parameters
    ----------
    processes : asks the hosts.
    cluster : asks for groups by name; gives them with how many dead letters each topic has.
    clock, sleep : in seconds.
    """

    def __init__(
        self,
        processes: Callable[[], Sequence[HostReport]],
        cluster: Callable[[tuple[str, ...]], tuple[Sequence[Group], Mapping[str, int | None]]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._processes = processes
        self._cluster = cluster
        self._clock = clock
        self._sleep = sleep
        self._sights: list[_Sight] = []
        self._given_up = ""  # why the cluster is not asked again within a look

    def once(self) -> Survey:
        """Look, and as long as there is something to be confirmed, again.

        Twice more for what seems wrong; up to 6 s for whether a foreign command commits anything. A cluster that could
        not be asked is not asked again: that would be waited for each time.
        """
        self._given_up = ""
        first = now = self._see()
        looks = 1
        while True:
            wanted = max((one.seconds for one in now.observation.suspects), default=0.0)
            waiting = wanted > now.at - first.at
            doubtful = _doubtful(now, self._sights[-2] if looks > 1 else None)
            if not waiting and not (doubtful and looks < _MOST_LOOKS):
                return self._survey()
            self._sleep(max(APART_SECONDS - (self._clock() - now.at), 0.0))
            self._given_up = now.error
            now = self._see()
            looks += 1

    def again(self) -> Survey:
        """Look once more at what is watched: the looks before confirm what this one shows."""
        self._given_up = ""
        self._see()
        return self._survey()

    def _see(self) -> _Sight:
        hosts = self._processes()
        asked = known_groups(hosts)
        groups: Sequence[Group] = ()
        letters: Mapping[str, int | None] = {}
        error = self._given_up
        if asked and not error:
            try:
                groups, letters = self._cluster(asked)
            except OpsError as raised:
                error = str(raised).replace("\n ", ";")
        now = self._clock()
        past = self._past(now)
        apart = now - past.at if past else math.inf
        observation = observe(hosts, groups, earlier=past.groups if past else (), apart_seconds=apart)
        told = dead_letters((one for host in hosts for one in host.reports), letters)
        self._sights.append(_Sight(now, observation, tuple(groups), asked, told, error))
        return self._sights[-1]

    def _past(self, now: float) -> _Sight | None:
        """Give the newest look that is old enough for whatever is compared, else the oldest; forget those before."""
        old = [one for one in self._sights if now - one.at >= COMMIT_SECONDS and not one.error]
        if old:
            self._sights = self._sights[self._sights.index(old[-1]) :]
        return next((one for one in self._sights if not one.error), None)

    def _survey(self) -> Survey:
        """Give the last look, cut down to what the one before confirms."""
        last = self._sights[-1]
        before = self._sights[-2] if len(self._sights) > 1 else None
        seen = _confirming(before)
        remarks = tuple(one for one in last.observation.remarks if _key(one) in seen or one.zombie in _LASTING)
        kept = {(one.host, one.process, one.zombie) for one in remarks}
        rows = tuple(
            replace(row, zombies=tuple(one for one in row.zombies if (row.host, row.report.name, one) in kept))
            for row in last.observation.rows
        )
        return Survey(replace(last.observation, rows=rows, remarks=remarks), last.asked, last.letters, last.error)


def known_groups(hosts: Sequence[HostReport]) -> tuple[str, ...]:
    """Give the groups that the processes asked about are to be members of, by their settings or their own word."""
    rows = observe(hosts, ()).rows
    return tuple(sorted({group for row in rows for group in row.groups}))


def _doubtful(now: _Sight, before: _Sight | None) -> bool:
    """Whether something seems wrong that no look before has shown."""
    seen = _confirming(before)
    return any(one.zombie not in _LASTING and _key(one) not in seen for one in now.observation.remarks)


def _confirming(sight: _Sight | None) -> frozenset[Key]:
    """Give what a look confirms: what it showed itself, and whom it suspected of making no progress."""
    if sight is None:
        return frozenset()
    observation = sight.observation
    suspects = {
        (Zombie.NO_PROGRESS, one.group, one.host, one.process, one.member) for one in observation.suspects
    }  # fmt: skip
    return frozenset({_key(one) for one in observation.remarks} | suspects)


def _key(remark: Remark) -> Key:
    """Tell remarks apart; those without a process by their member, else by their text."""
    what = "" if remark.process else remark.member or remark.text
    return remark.zombie, remark.group, remark.host, remark.process, what
