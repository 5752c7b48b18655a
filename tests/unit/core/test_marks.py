"""What a commit's metadata tells: nothing is lost on the way, and it never gets too long for the broker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.consumer.window import SPAN
from ops.core.marks import LIMIT, Marks, decode, encode


def intervals(finished: set[int]) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for at in sorted(finished):
        if found and found[-1][1] == at:
            found[-1] = found[-1][0], at + 1
        else:
            found.append((at, at + 1))
    return tuple(found)


@st.composite
def some_marks(draw: st.DrawFn) -> Marks:
    offset = draw(st.integers(0, 2**40))
    finished = {offset + n for n in draw(st.sets(st.integers(1, 400)))}
    left = st.integers(0, 500).map(lambda n: offset + n).filter(lambda at: at not in finished)
    tries = draw(st.dictionaries(left, st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=40))
    return Marks(
        offset,
        draw(st.booleans()),
        offset + draw(st.integers(0, 600)),
        intervals(finished),
        {at: counts for at, counts in tries.items() if counts != (0, 0)},
        draw(st.none() | left),
    )


@given(some_marks())
def test_what_is_written_is_read_back(marks: Marks) -> None:
    text = encode(marks)
    assert len(text) <= LIMIT
    assert decode(marks.offset, text) == marks


@pytest.mark.parametrize("step", [2, 3, 7])
def test_a_whole_window_of_scattered_jobs_fits_with_250_that_were_tried(step: int) -> None:
    # Given every second offset finished, the others not, and every other one of those tried before
    finished = set(range(1, SPAN, step))
    tries = dict.fromkeys([at for at in range(SPAN) if at not in finished][: 2 * 250 : 2], (1, 2))
    marks = Marks(0, False, SPAN, intervals(finished), tries)
    # Then all of it fits
    text = encode(marks)
    assert len(text) <= LIMIT
    assert decode(0, text) == marks


def test_tries_that_do_not_fit_are_left_out_and_finished_offsets_never() -> None:
    tries = {at: (at % 15 + 1, 0) for at in range(0, SPAN, 2)}
    finished = intervals(set(range(1, SPAN, 2)))
    text = encode(Marks(0, True, 0, finished, tries))
    assert len(text) <= LIMIT
    found = decode(0, text)
    assert found is not None
    assert found.finished == finished
    assert found.tries.items() < tries.items()


@given(st.text(max_size=60))
def test_what_another_tool_wrote_is_nothing_of_ours(text: str) -> None:
    assert decode(5, text) is None
    assert decode(5, "karafka-lanes-2:" + text) is None


@given(some_marks(), st.data())
def test_what_was_cut_off_or_altered_never_raises(marks: Marks, data: st.DataObject) -> None:
    text = encode(marks)
    at = data.draw(st.integers(0, len(text) - 1))
    decode(marks.offset, text[:at])
    decode(marks.offset, text[:at] + data.draw(st.characters()) + text[at + 1 :])
