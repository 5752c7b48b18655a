"""When this process finished records: for each partition the first, the last, and the longest gaps between two.

Cheap enough to be on always: topic threads mark a partition after each batch, and within long ones some times a second.
Gaps are kept as the longest of each ten seconds, later of each minute, for half an hour. The slot's owner writes them
to a file, from which the next owner takes over what came before it; `ops.core.progress` says how both are joined.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ops.core import pidfile
from ops.core.identity import boot_id
from ops.core.progress import VERSION, path_beside

log = logging.getLogger(__name__)

_FINE_SECONDS, _FINE_KEPT = 10, 12
_COARSE_SECONDS, _COARSE_KEPT = 60, 28
_SPANS_KEPT = 8
_PREDECESSORS_KEPT = 2
_EVERY_SECONDS = 2.0
_SOON_SECONDS, _BEGINNING_SECONDS = 0.3, 10.0  # at first more often: a rollout wants to know when it began to work
_SPARING_SECONDS = 0.02
_NUMBERS = 4  # decimals: a tenth of a millisecond


def _boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class _Span:
    """One partition's time with this process: from an assignment on."""

    __slots__ = ("coarse", "fine", "first", "last", "waited")

    def __init__(self, now: float, waited: float) -> None:
        self.first = self.last = now
        self.waited = waited
        self.fine: dict[int, tuple[float, float, float]] = {}
        self.coarse: dict[int, tuple[float, float, float]] = {}

    def mark(self, now: float, waited: float) -> None:
        gap = now - self.last
        waited = min(gap, max(waited, 0.0))
        bucket = int(now // _FINE_SECONDS)
        known = self.fine.get(bucket)
        if known is None:
            self.fine[bucket] = (self.last, gap, waited)
            if len(self.fine) > _FINE_KEPT:
                self._age()
        elif waited > known[2]:
            self.fine[bucket] = (self.last, gap, waited)
        self.last = now

    def _age(self) -> None:
        oldest = next(iter(self.fine))
        gap = self.fine.pop(oldest)
        bucket = oldest * _FINE_SECONDS // _COARSE_SECONDS
        known = self.coarse.get(bucket)
        if known is None or gap[2] > known[2]:
            self.coarse[bucket] = gap
        if len(self.coarse) > _COARSE_KEPT:
            del self.coarse[next(iter(self.coarse))]

    def as_json(self) -> list[Any]:
        gaps = [*list(self.coarse.values()), *list(self.fine.values())]
        numbers = [[round(number, _NUMBERS) for number in gap] for gap in gaps]
        return [*(round(number, _NUMBERS) for number in (self.first, self.last, self.waited)), numbers]


class Progress:
    """One consumer group's progress in this process; each partition is marked by one thread at a time.

    Parameters
    ----------
    boot, wall : clocks: seconds since boot, and since 1970.
    """

    def __init__(self, boot: Callable[[], float] = _boot_seconds, wall: Callable[[], float] = time.time) -> None:
        self._boot = boot
        self._wall = wall
        self._spans: dict[tuple[str, int], list[_Span]] = {}
        self._cut = 0
        self._seen: dict[tuple[str, int], int] = {}
        self._ahead = 0.0

    def assigned(self) -> None:
        """Begin anew: in a rebalance somebody else may have worked on a partition meanwhile."""
        self._cut += 1

    def mark(self, topic: str, partition: int, produced_ms: int | None = None) -> None:
        """Note that records of a partition are finished.

        Parameters
        ----------
        produced_ms : the timestamp of the oldest one of a batch, of which nothing was marked before; None for the
            later ones of a batch. A producer whose clock is ahead would hide what its records waited: the most that
            any was ahead so far is taken off.
        """
        now = self._boot()
        waited = float("inf")
        if produced_ms is not None and produced_ms > 0:
            waited = self._wall() - produced_ms / 1000
            self._ahead = min(self._ahead, waited)
            waited -= self._ahead
        key = (topic, partition)
        if self._seen.get(key) == self._cut:
            self._spans[key][-1].mark(now, waited)
            return
        self._seen[key] = self._cut
        spans = self._spans.setdefault(key, [])
        spans.append(_Span(now, min(waited, now)))
        del spans[:-_SPANS_KEPT]

    def as_json(self) -> dict[str, Any]:
        """Give topic -> partition -> spans; safe while others mark."""
        topics: dict[str, Any] = {}
        for (topic, partition), spans in list(self._spans.items()):
            topics.setdefault(topic, {})[str(partition)] = [span.as_json() for span in list(spans)]
        return topics


class SparingMarks:
    """Marks the partitions of one topic where jobs are finished in ones and twos: a partition each 20 ms at most."""

    def __init__(self, progress: Progress, topic: str) -> None:
        self._progress = progress
        self._topic = topic
        self._next: dict[int, float] = {}

    def note(self, oldest: dict[int, int]) -> None:
        """Note that records are finished; give the oldest one's timestamp by partition, 0 for unknown."""
        now = time.monotonic()
        for partition, stamp in oldest.items():
            if now >= self._next.get(partition, 0.0):
                self._next[partition] = now + _SPARING_SECONDS
                self._progress.mark(self._topic, partition, stamp or None)


class ProgressFile:
    """The slot's progress file; only the slot's owner may have one open.

    Parameters
    ----------
    status_file : the slot's status record, beside which it lies; empty for none.
    release : for people.
    """

    def __init__(self, status_file: str, release: str = "") -> None:
        self._path = path_beside(status_file) if status_file else None
        self._head = {"version": VERSION, "pid": os.getpid(), "boot_id": boot_id(), "release": release}
        self._before = json.dumps(_predecessors(self._path) if self._path else [])
        self._began = time.monotonic()
        self._written_at = float("-inf")
        self._failing = False

    def write(self, groups: dict[str, Progress], *, last: bool = False) -> None:
        """Write it, if it is time to or this is the last time; that it cannot be written is a log line."""
        now = time.monotonic()
        every = _SOON_SECONDS if now - self._began < _BEGINNING_SECONDS else _EVERY_SECONDS
        if self._path is None or (not last and now - self._written_at < every):
            return
        self._written_at = now
        record = {
            **self._head,
            "at": round(_boot_seconds(), _NUMBERS),
            "groups": {group: progress.as_json() for group, progress in groups.items()},
        }
        try:
            text = f'{json.dumps(record)[:-1]}, "before": {self._before}}}\n'  # what never changes is made once
            pidfile.write_whole(self._path, text, durable=False)
        except OSError as error:
            if not self._failing:
                log.warning("the progress file %s cannot be written: %s", self._path, error)
            self._failing = True
        else:
            self._failing = False


def _predecessors(path: Path) -> list[Any]:
    """Take over what the slot's owners before wrote in this boot."""
    try:
        record = json.loads(path.read_bytes())
        before = record.pop("before")
        chain = [one for one in (record, *before) if one["boot_id"] == boot_id() and one["version"] == VERSION]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return []
    return chain[:_PREDECESSORS_KEPT]
