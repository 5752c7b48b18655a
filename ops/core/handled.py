"""Which dead letters of a partition were sent again or discarded, in any order: a commit and its metadata."""

from __future__ import annotations

from ops.core.marks import Marks, decode, encode


def handler_of(topic: str) -> str:
    """Return the name of the group whose commits remember which letters of a topic are handled."""
    return f"{topic}.replay"


class Handled:
    """The offsets of a partition that nobody has to look at any more.

    Parameters
    ----------
    offset : everything before it is handled.
    text : the metadata of the commit; another tool's says nothing.
    """

    def __init__(self, offset: int, text: str = "") -> None:
        marks = decode(offset, text)
        self.offset = offset
        self._ranges: list[tuple[int, int]] = list(marks.finished) if marks is not None else []

    def __contains__(self, offset: int) -> bool:
        return offset < self.offset or any(start <= offset < end for start, end in self._ranges)

    def add(self, start: int, end: int) -> None:
        """Note that the offsets from `start` to before `end` are handled, or are none of a letter."""
        if end <= max(start, self.offset):
            return
        start = max(start, self.offset)
        apart = [one for one in self._ranges if one[1] < start or end < one[0]]
        touching = [one for one in self._ranges if not (one[1] < start or end < one[0])]
        start = min([start, *(one[0] for one in touching)])
        end = max([end, *(one[1] for one in touching)])
        if start == self.offset:
            self.offset = end
        else:
            apart.append((start, end))
        self._ranges = sorted(apart)

    def left(self, end: int) -> int:
        """Return how many offsets before `end` are not handled."""
        return max(0, end - self.offset) - sum(max(0, min(after, end) - start) for start, after in self._ranges)

    @property
    def text(self) -> str:
        """The metadata of a commit at `offset`.

        Raises
        ------
        ValueError : it is more than a broker takes.
        """
        return encode(Marks(self.offset, finished=self._ranges)) if self._ranges else ""
