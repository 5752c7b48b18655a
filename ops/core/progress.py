"""When consumers finished records, as their processes wrote it down, and how long each partition stood still.

A process keeps, for each of its partitions, when the first and the last record was finished, and the longest gaps
between two of them; the file goes from the slot's owner to the next one, which keeps what its predecessors wrote. All
times are of the host's boot clock (CLOCK_BOOTTIME), which processes of one host share, whatever is done to its time of
day. So the gap of a handover is the new process's first record less the old one's last.

A gap counts as far as there was a record to be finished in it: a topic without traffic does not stand still.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

VERSION = 1


def path_beside(status: str) -> Path:
    """Give a slot's progress file: it lies beside its status record."""
    return Path(status).with_suffix(".progress")


@dataclass(frozen=True, order=True)
class GroupPartition:
    """One partition, as one consumer group reads it."""

    group: str
    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


@dataclass(frozen=True)
class Gap:
    """The time between two records of a partition.

    Attributes
    ----------
    start : when the one before it was finished.
    seconds : until the one after it was finished.
    waited_seconds : for how much of it that one was there already, at its end.
    """

    start: float
    seconds: float
    waited_seconds: float

    @property
    def end(self) -> float:
        """When it ended."""
        return self.start + self.seconds


@dataclass(frozen=True)
class Segment:
    """What one process did for one partition, without interruption by another one.

    Attributes
    ----------
    host, process, pid : which process.
    first, last : when its first and last record was finished.
    waited_seconds : how long that first one had been there by then.
    gaps : the longest of each interval of time.
    """

    partition: GroupPartition
    host: str
    process: str
    pid: int
    first: float
    last: float
    waited_seconds: float
    gaps: tuple[Gap, ...] = ()

    def moved(self, seconds: float) -> Segment:
        """Give it on another axis of time."""
        gaps = tuple(replace(gap, start=gap.start + seconds) for gap in self.gaps)
        return replace(self, first=self.first + seconds, last=self.last + seconds, gaps=gaps)


def segments(host: str, answer: dict[str, Any], at: float) -> tuple[Segment, ...]:
    """Take apart what a host's agent answers to `progress`.

    Parameters
    ----------
    answer : `Response.progress`.
    at : when it came, on the axis that the segments are wanted on; within one host they are exact, between hosts as
        good as this is.

    Returns
    -------
    Those of this boot; records that don't fit are left out.
    """
    found: list[Segment] = []
    for process, record in answer["processes"].items():
        try:
            if record["version"] != VERSION:
                continue
            for one in (record, *record["before"]):
                if one["boot_id"] == answer["boot_id"]:
                    found += _segments(host, process, one)
        except (KeyError, TypeError, ValueError, AttributeError):
            continue
    shift = at - float(answer["boot_seconds"])
    return tuple(segment.moved(shift) for segment in found)


def _segments(host: str, process: str, record: dict[str, Any]) -> Iterator[Segment]:
    pid = int(record["pid"])
    for group, topics in record["groups"].items():
        for topic, numbers in topics.items():
            for number, spans in numbers.items():
                partition = GroupPartition(str(group), str(topic), int(number))
                for first, last, waited, gaps in spans:
                    some = tuple(Gap(*map(float, gap)) for gap in gaps)
                    yield Segment(partition, host, process, pid, float(first), float(last), float(waited), some)


def gaps(found: Iterable[Segment]) -> dict[GroupPartition, tuple[Gap, ...]]:
    """Join segments to what each partition went through, whoever worked on it: gaps within them and between them.

    Between two segments is a gap only where nobody else worked on the partition: segments that overlap leave none.
    """
    by_partition: dict[GroupPartition, list[Segment]] = {}
    for segment in found:
        by_partition.setdefault(segment.partition, []).append(segment)
    joined = {}
    for partition, some in by_partition.items():
        some.sort(key=lambda segment: (segment.first, segment.last))
        own = [gap for segment in some for gap in segment.gaps]
        reached = some[0].last
        for segment in some[1:]:
            if segment.first > reached:
                seconds = segment.first - reached
                own.append(Gap(reached, seconds, min(seconds, segment.waited_seconds)))
            reached = max(reached, segment.last)
        joined[partition] = tuple(sorted(own, key=lambda gap: gap.start))
    return joined
