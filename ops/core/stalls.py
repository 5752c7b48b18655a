"""What partitions and groups went through in a rollout; part of its evidence, whose axis of time it shares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stall:
    """A time in which records of a partition waited and none was finished.

    Attributes
    ----------
    seconds : how long they waited; of committed offsets, at least.
    gap_seconds : between the record before and the one after; longer where there was nothing to do at first.
    """

    start: float
    seconds: float
    gap_seconds: float

    @property
    def end(self) -> float:
        """When it ended."""
        return self.start + self.seconds


@dataclass(frozen=True)
class Span:
    """One process's work on a partition: from its first to its last record."""

    slot: str
    pid: int
    start: float
    end: float


@dataclass(frozen=True)
class PartitionEvidence:
    """What one partition went through, as one group reads it.

    Attributes
    ----------
    slot : that works on it at the end, host and process; empty where nobody is known.
    stalls : the longest ones during the rollout, in order of time, by the consumers' own records of when they finished
        what; all between two processes are among them. Empty without such records.
    undisturbed_seconds : the longest one before the rollout.
    committed : the longest time that its committed offset stood still below its end, as the gates saw it; no shorter
        one than the time between two looks can be seen.
    lag_before, lag_peak, lag_after : messages.
    """

    group: str
    topic: str
    number: int
    slot: str = ""
    stalls: tuple[Stall, ...] = ()
    spans: tuple[Span, ...] = ()
    undisturbed_seconds: float | None = None
    committed: Stall | None = None
    lag_before: int | None = None
    lag_peak: int | None = None
    lag_after: int | None = None

    @property
    def name(self) -> str:
        """Topic and number."""
        return f"{self.topic}-{self.number}"

    @property
    def longest(self) -> Stall | None:
        """The longest stall.

        It is told by the consumers' own records: offsets may be committed seldom. Where there are none, or the last one
        was before the committed offset stood still, so that the stall may not be over, it is told by that.
        """
        known = list(self.stalls)
        if self.committed and self.committed.start >= max((span.end for span in self.spans), default=float("-inf")):
            known.append(self.committed)
        return max(known, key=lambda stall: stall.seconds, default=None)


@dataclass(frozen=True)
class Generation:
    """A group's generation as its members said it at some time."""

    at: float
    number: int


@dataclass(frozen=True)
class GroupEvidence:
    """What a consumer group went through.

    Attributes
    ----------
    generations : each change, the first one before anything was touched; empty where no member says it.
    planned : rebalances that the rollout asked for: topics changed.
    lag_before, lag_peak, lag_after : messages of all partitions together.
    """

    name: str
    generations: tuple[Generation, ...] = ()
    planned: int = 0
    lag_before: int | None = None
    lag_peak: int | None = None
    lag_after: int | None = None

    @property
    def rebalances(self) -> int | None:
        """How many there were."""
        return self.generations[-1].number - self.generations[0].number if self.generations else None
