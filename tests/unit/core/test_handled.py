"""What is remembered of dead letters that were handled in any order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.handled import Handled


@given(
    st.integers(0, 50), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 6)), max_size=30), st.booleans()
)  # offset that was committed, ranges, whether each is written down and read again
def test_what_was_handled_is_known_and_nothing_else_however_often_it_is_written_down(
    offset: int, ranges: list[tuple[int, int]], stored: bool
) -> None:
    # Given a commit, and letters that are handled in any order
    handled, known = Handled(offset), set(range(offset))

    # When each is noted
    for start, length in ranges:
        handled.add(start, start + length)
        known |= set(range(start, start + length))
        if stored:
            handled = Handled(handled.offset, handled.text)

    # Then those alone are known, and the commit stands at the first that is not
    assert [one for one in range(70) if one in handled] == sorted(known)
    assert handled.offset == min(set(range(70)) - known)
    assert [handled.left(end) for end in (0, 30, 70)] == [len(set(range(end)) - known) for end in (0, 30, 70)]


def test_more_holes_than_a_commit_can_carry_are_refused() -> None:
    # Given every seventh of many letters handled
    handled = Handled(0)
    for one in range(1, 100_000, 7):
        handled.add(one, one + 1)
    # When that is to be written down, Then it is refused rather than forgotten
    with pytest.raises(ValueError, match="bytes"):
        _ = handled.text


def test_another_tools_commit_is_taken_by_its_offset_alone() -> None:
    # Given, When, Then
    assert [one for one in range(9) if one in Handled(4, "something else")] == [0, 1, 2, 3]
