"""What committed offsets tell of a rollout, look after look: how long a partition stood still, how lag went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ops.core.cluster import Group, Partition
from ops.core.stalls import Stall


class _Seen(NamedTuple):
    """A partition at one look."""

    at: float
    committed: int | None
    lag: int | None


@dataclass(frozen=True)
class Lag:
    """Messages still to be read: at the first look, at worst, and at the last one; None is unknown."""

    before: int | None
    peak: int | None
    after: int | None

    @classmethod
    def of(cls, lags: Sequence[int | None]) -> Lag:
        """Take it from one look after the other."""
        known = [lag for lag in lags if lag is not None]
        return cls(lags[0], max(known, default=None), lags[-1]) if lags else cls(None, None, None)


class Offsets:
    """The groups' committed and end offsets, look after look."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._groups: dict[str, list[int | None]] = {}
        self._partitions: dict[tuple[str, Partition], list[_Seen]] = {}

    def see(self, groups: Iterable[Group], at: float) -> None:
        """Take one look.

        Parameters
        ----------
        at : seconds, by a clock that only goes forward.
        """
        self._times.append(at)
        for group in groups:
            self._groups.setdefault(group.name, []).append(group.lag)
            for one in group.progress:
                seen = self._partitions.setdefault((group.name, one.partition), [])
                seen.append(_Seen(at, one.committed, one.lag))

    @property
    def partitions(self) -> frozenset[tuple[str, Partition]]:
        """All that were seen, with the group's name."""
        return frozenset(self._partitions)

    @property
    def longest_pause_seconds(self) -> float | None:
        """The longest time between two looks; None for fewer than two."""
        return max((after - before for before, after in zip(self._times, self._times[1:])), default=None)

    def group_lag(self, group: str) -> Lag:
        """Give how the lag of a group went, all its partitions together."""
        return Lag.of(self._groups.get(group, ()))

    def lag(self, group: str, partition: Partition) -> Lag:
        """Give how the lag of a partition went."""
        return Lag.of([seen.lag for seen in self._partitions.get((group, partition), ())])

    def standstill(self, group: str, partition: Partition) -> Stall | None:
        """Give the longest time that a committed offset stayed where it was while there was something to read.

        It lasts from the first to the last look that saw the same offset below the end: the partition stood still for
        that long at least, and on each side for less than the time between two looks longer.
        """
        longest: Stall | None = None
        since: _Seen | None = None
        for seen in self._partitions.get((group, partition), ()):
            if not seen.lag or seen.committed is None:
                since = None
            elif since is None or since.committed != seen.committed:
                since = seen
            elif longest is None or seen.at - since.at > longest.seconds:
                longest = Stall(since.at, seen.at - since.at, seen.at - since.at)
        return longest
