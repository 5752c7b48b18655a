"""The arithmetic of a rollout's cost: gaps between processed records, stalls, what was lost and what was repeated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

LEAST_STALL_SECONDS = 0.15


@dataclass(frozen=True)
class Gap:
    """The time between two processed records of one partition; seconds of any one clock."""

    partition: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it was."""
        return self.end - self.start


def gaps(processed: Mapping[int, Sequence[float]]) -> list[Gap]:
    """Give all gaps of the partitions, from when their records were processed."""
    return [
        Gap(partition, start, end)
        for partition, times in processed.items()
        for start, end in pairwise(sorted(times))
        if end > start
    ]


def longest_seconds(some: Iterable[Gap]) -> float:
    """Give the longest one's seconds; 0 where there is none."""
    return max((gap.seconds for gap in some), default=0.0)


@dataclass(frozen=True)
class Stalls:
    """What a command did to the partitions, beside what they went through before it.

    Attributes
    ----------
    undisturbed_seconds : the longest gap of a partition in the quiet time before the command.
    longest_seconds : the longest gap that ended after the command began.
    partition_seconds : all such gaps together that are longer than the limit.
    """

    undisturbed_seconds: float
    longest_seconds: float
    partition_seconds: float

    @property
    def limit_seconds(self) -> float:
        """How long a gap may be without being a stall: twice the longest undisturbed one, at least 0.15 s."""
        return limit_seconds(self.undisturbed_seconds)

    @classmethod
    def of(cls, found: Iterable[Gap], quiet_from: float, command_at: float) -> Stalls:
        """Tell the gaps before a command from those that it may have caused.

        Parameters
        ----------
        quiet_from : gaps that began earlier don't count.
        command_at : when the command began; a gap that it fell into is its own.
        """
        counted = [gap for gap in found if gap.start >= quiet_from]
        after = [gap for gap in counted if gap.end > command_at]
        undisturbed = longest_seconds(gap for gap in counted if gap.end <= command_at)
        limit = limit_seconds(undisturbed)
        return cls(undisturbed, longest_seconds(after), sum(gap.seconds for gap in after if gap.seconds > limit))


def limit_seconds(undisturbed_seconds: float) -> float:
    """Give how long a gap may be beside the longest undisturbed one."""
    return max(LEAST_STALL_SECONDS, 2 * undisturbed_seconds)


def lost_and_repeated(sent: int, answered: Iterable[int]) -> tuple[int, int]:
    """Count the messages that nothing came of, and the answers that are one too many.

    Parameters
    ----------
    sent : how many were sent; their sequence numbers are 0 to `sent` - 1.
    answered : the sequence number of each answer.
    """
    counts = Counter(answered)
    return sum(number not in counts for number in range(sent)), sum(count - 1 for count in counts.values())
