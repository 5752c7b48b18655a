"""Evidence as data: there and back, and what it says as a whole."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.cluster import Group, Partition, Progress
from ops.core.errors import OpsError
from ops.core.evidence import Evidence, Outcome, Phase, PhaseKind, SlotEvidence, VerdictEvidence
from ops.core.offsets import Lag, Offsets
from ops.core.stalls import Generation, GroupEvidence, PartitionEvidence, Span, Stall

TEXT = st.text(max_size=12)
TIME = st.floats(-1e6, 1e6)
LAG = st.none() | st.integers(0, 1 << 40)
STALLS = st.builds(Stall, TIME, TIME, TIME)


def some(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(strategy, max_size=3).map(tuple)


EVIDENCE = st.builds(
    Evidence,
    *[TEXT] * 4,
    st.integers(0, 1 << 50),
    st.floats(0, 4e9),
    TIME,
    st.sampled_from(Outcome),
    st.integers(0, 130),
    slots=some(
        st.builds(
            SlotEvidence,
            TEXT,
            TEXT,
            st.integers(0, 9),
            st.booleans(),
            st.booleans(),
            LAG,
            LAG,
            phases=some(st.builds(Phase, st.sampled_from(PhaseKind), TIME, TIME)),
        )
    ),
    groups=some(st.builds(GroupEvidence, TEXT, some(st.builds(Generation, TIME, st.integers())), lag_before=LAG)),
    partitions=some(
        st.builds(
            PartitionEvidence,
            TEXT,
            TEXT,
            st.integers(0, 99),
            stalls=some(STALLS),
            spans=some(st.builds(Span, TEXT, st.integers(1, 99), TIME, TIME)),
            undisturbed_seconds=st.none() | TIME,
            committed=st.none() | STALLS,
        )
    ),
    verdicts=some(st.builds(VerdictEvidence, TEXT, TEXT, TIME, TIME, some(TEXT))),
    notes=some(TEXT),
)


@given(EVIDENCE)
def test_evidence_comes_back_from_json_as_it_was(evidence: Evidence) -> None:
    # Given any evidence, when it goes to JSON and comes back, then it is the same
    assert Evidence.from_json(json.loads(json.dumps(evidence.as_json()))) == evidence


def made(*partitions: PartitionEvidence, **more: object) -> Evidence:
    values = {"seconds": 9.0, "outcome": Outcome.DONE, "exit_code": 0, "partitions": partitions, **more}
    return Evidence("sources", "production", "rolling", "ann", 7, 0.0, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data", [None, [], {}, {"version": 99}, {**made().as_json(), "seconds": "x"}, {"version": 1, "stage": "x"}]
)
def test_what_is_no_evidence_is_refused(data: object) -> None:
    # Given something else, then the error says so
    with pytest.raises(OpsError, match="evidence"):
        Evidence.from_json(data)


def test_names_sort_by_time_and_carry_the_leases_number() -> None:
    # Given a rollout, then its files are named by it
    assert made().name == "19700101T000000Z-7"


def test_the_committed_offset_counts_only_where_records_say_nothing() -> None:
    # Given a partition whose offsets are committed seldom while it works on
    still = Stall(1.0, 5.0, 5.0)
    busy = PartitionEvidence(
        "g", "t", 0, stalls=(Stall(2.0, 0.1, 0.1),), spans=(Span("h p", 1, 0.0, 9.0),), committed=still
    )
    # Then its own records tell the stall
    assert busy.longest == Stall(2.0, 0.1, 0.1)
    # But of one that finished nothing since, and of one without records, the offset does
    stuck = PartitionEvidence("g", "t", 1, spans=(Span("h p", 1, 0.0, 0.9),), committed=still)
    foreign = PartitionEvidence("g", "t", 2, committed=still)
    assert stuck.longest == foreign.longest == still
    # And the worst of all is told first
    assert made(busy, stuck).worst is stuck
    assert made(busy, stuck).summary()["longest_stall_seconds"] == 5.0


def test_unknown_is_not_zero() -> None:
    # Given a rollout of which nothing is known but that it took place
    summary = made(groups=(GroupEvidence("g"),)).summary()
    # Then it says so
    assert summary["longest_stall_seconds"] is None
    assert summary["undisturbed_seconds"] is None
    assert summary["rebalances"] is None


def test_rebalances_are_counted_by_generations() -> None:
    # Given a group whose generation changed twice, and one where it stayed
    groups = (
        GroupEvidence("a", (Generation(-1, 7), Generation(2, 8), Generation(5, 9))),
        GroupEvidence("b", (Generation(-1, 3),)),
    )
    # Then there were two rebalances
    assert made(groups=groups).rebalances == 2


def look(committed: int | None, end: int | None) -> list[Group]:
    return [Group("g", "classic", "Stable", progress=(Progress(Partition("t", 0), committed, end, 0),))]


def seen(*looks: tuple[float, int | None, int | None]) -> Offsets:
    offsets = Offsets()
    for at, committed, end in looks:
        offsets.see(look(committed, end), at)
    return offsets


def test_a_standstill_lasts_from_the_first_to_the_last_look_at_the_same_offset() -> None:
    # Given an offset that stays for three looks while there is more to read
    offsets = seen((0, 5, 9), (1, 6, 10), (2, 6, 11), (3, 6, 12), (4, 9, 13))
    # Then it stood still between them
    assert offsets.standstill("g", Partition("t", 0)) == Stall(1, 2, 2)
    assert offsets.longest_pause_seconds == 1
    assert offsets.lag("g", Partition("t", 0)) == Lag(4, 6, 4)
    assert offsets.group_lag("g") == Lag(4, 6, 4)


@pytest.mark.parametrize(
    "looks",
    [
        ((0, 9, 9), (1, 9, 9), (2, 9, 9)),  # nothing to read
        ((0, 5, 9), (1, 6, 9), (2, 7, 9)),  # it goes on
        ((0, 5, None), (1, 5, None)),  # nobody knows how far it could be
        ((0, None, 9), (1, None, 9)),
        ((0, 5, 9),),
    ],
)
def test_a_partition_without_work_or_with_progress_does_not_stand_still(
    looks: tuple[tuple[float, int | None, int | None], ...],
) -> None:
    assert seen(*looks).standstill("g", Partition("t", 0)) is None


def test_lag_that_is_unknown_stays_unknown() -> None:
    # Given a partition that nobody leads at first and of which something is known later
    offsets = seen((0, 5, None), (1, 5, 9), (2, 9, 9))
    assert offsets.lag("g", Partition("t", 0)) == Lag(None, 4, 0)
    assert seen().lag("g", Partition("t", 0)) == Lag(None, None, None)
