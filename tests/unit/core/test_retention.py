"""Which release a rollback goes to, and which ones a cleanup removes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ops.core.release import Release, ReleaseState
from ops.core.retention import previous_of, superfluous, unfinished

BAD, HALF = ReleaseState.BAD, ReleaseState.UPDATING


def name(number: int) -> str:
    return f"202601010000{number:02}"


def release(number: int, state: ReleaseState = ReleaseState.WHOLE, previous: int | None = None) -> Release:
    before = "" if previous is None else name(previous)
    return Release(name(number), state, published_at=1.0, previous=before)


def test_a_rollback_goes_to_what_was_recorded_past_bad_ones_and_not_by_age() -> None:
    # Given a release that was published over an older one, as after a rollback, with bad ones between them
    there = [release(1), release(2, previous=1), release(3, BAD, 2), release(4, BAD, 2), release(5, previous=2)]
    # Then each goes to what it had before
    assert previous_of(there, name(5)) == name(2)
    assert previous_of(there, name(4)) == name(2)
    assert previous_of(there, name(2)) == name(1)
    assert previous_of(there, name(1)) == ""
    # And past what was recorded and is bad by now, or gone
    there[1] = release(2, BAD, 1)
    assert previous_of(there, name(5)) == name(1)
    assert previous_of([there[0], there[4]], name(5)) == name(1)


def test_releases_that_somebody_else_made_are_gone_through_by_name() -> None:
    # Given releases without a record of ours, as Capistrano leaves them, and one that is not whole
    there = [Release(name(1)), Release(name(2)), Release(name(3), HALF), Release(name(4))]
    # Then the next older whole one is it
    assert previous_of(there, name(4)) == name(2)
    assert previous_of(there, "") == ""


def test_a_cleanup_counts_good_releases_and_spares_what_is_needed() -> None:
    # Given good, bad and half releases, of which `current` and the one before are old
    there = [
        release(1), release(2, previous=1), release(3, BAD, 2), release(4, previous=2), release(5, BAD, 4),
        release(6, BAD, 4), release(7, HALF), release(8, previous=4), Release("by-hand"),
    ]  # fmt: skip
    # Then two good ones stay, the newest bad one beside them, and nobody's folder
    assert superfluous(there, name(8), 2) == tuple(map(name, (1, 2, 3, 5, 7)))
    # And so do `current`, the one before it and what a process runs in, however old they are
    assert superfluous(there, name(2), 1, busy=[name(3)]) == tuple(map(name, (4, 5, 7)))
    # And what is not whole is all that a deploy removes
    assert unfinished(there, name(8)) == (name(7),)
    assert unfinished(there, name(8), busy=[name(7)]) == ()


@given(
    st.lists(st.tuples(st.sampled_from(ReleaseState), st.none() | st.integers(0, 19)), max_size=20),
    st.integers(0, 19),
    st.integers(1, 6),
)
def test_whatever_there_is_current_and_a_way_back_stay(
    states: list[tuple[ReleaseState, int | None]], current: int, keep: int
) -> None:
    # Given any releases, with any records
    there = [release(number, state, previous) for number, (state, previous) in enumerate(states)]
    gone = superfluous(there, name(current), keep)
    # Then current, what a rollback goes to, and as many good ones as are to be kept are there after a cleanup
    left = [one for one in there if one.name not in gone]
    assert name(current) not in gone
    assert previous_of(left, name(current)) == previous_of(there, name(current))
    good = [one.name for one in there if one.good]
    assert set(good[-keep:]) <= {one.name for one in left}
