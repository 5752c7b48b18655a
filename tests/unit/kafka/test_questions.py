"""What is said over the pipe to `python -m ops.kafka`, and what lag means."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.core.asking import Answer, Ask, Question
from ops.core.cluster import Group, Member, Partition, Progress
from ops.core.protocol import PROTOCOL, ProtocolError

texts = st.text(max_size=12)
numbers = st.integers(min_value=0, max_value=2**63 - 1)
partitions = st.builds(Partition, texts, st.integers(0, 9999))
members = st.builds(
    Member,
    texts,
    st.none() | texts,
    texts,
    texts,
    st.lists(texts, max_size=2).map(tuple),
    st.lists(partitions, max_size=2).map(tuple),
)
progress = st.builds(Progress, partitions, st.none() | numbers, st.none() | numbers)
groups = st.builds(
    Group,
    texts,
    texts,
    texts,
    texts,
    st.none() | st.integers(0, 2**31 - 1),
    st.lists(members, max_size=2).map(tuple),
    st.lists(progress, max_size=2).map(tuple),
)


@settings(deadline=None, max_examples=50)
@given(
    st.builds(
        Question,
        st.sampled_from([Ask.TOPICS, Ask.GROUPS, Ask.LAG]),
        st.lists(texts, max_size=3).map(tuple),
        texts,
        st.dictionaries(texts, texts, max_size=3),
        texts,
        st.floats(0.001, 3600),
    )
)
def test_a_question_comes_out_as_it_went_in(question: Question) -> None:
    assert Question.decode(question.encode()) == question
    assert "\n" not in question.encode()


@settings(deadline=None, max_examples=50)
@given(
    st.builds(
        Answer,
        st.dictionaries(texts, st.none() | st.integers(1, 9999), max_size=3),
        st.lists(groups, max_size=2).map(tuple),
        error=texts,
        exit_code=st.integers(0, 12),
    )
)
def test_an_answer_comes_out_as_it_went_in(answer: Answer) -> None:
    assert Answer.decode(answer.encode()) == answer
    assert "\n" not in answer.encode()


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        json.dumps({"ask": "topics"}),
        json.dumps({"protocol": 99, "ask": "topics"}),
        json.dumps({"protocol": PROTOCOL}),
        json.dumps({"protocol": PROTOCOL, "ask": "weather"}),
        json.dumps({"protocol": PROTOCOL, "ask": "topics", "names": "abc"}),
        json.dumps({"protocol": PROTOCOL, "ask": "topics", "names": [1]}),
        json.dumps({"protocol": PROTOCOL, "ask": "topics", "names": 1}),
        json.dumps({"protocol": PROTOCOL, "ask": "topics", "brokers": ["a:1"]}),
        json.dumps({"protocol": PROTOCOL, "ask": "topics", "timeout_seconds": 0}),
        json.dumps({"protocol": PROTOCOL, "ask": "topics", "timeout_seconds": "soon"}),
        json.dumps({"protocol": PROTOCOL, "ask": "topics", "password": "x"}),
    ],
)
def test_what_is_no_question_is_refused(wrong: str) -> None:
    with pytest.raises(ProtocolError):
        Question.decode(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        "{}",
        json.dumps({"protocol": PROTOCOL, "kind": "answer", "surprise": 1}),
        json.dumps({"protocol": PROTOCOL, "kind": "answer", "topics": 1, "groups": [], "error": "", "exit_code": 0}),
    ],
)
def test_what_is_no_answer_is_refused(wrong: str) -> None:
    with pytest.raises(ProtocolError):
        Answer.decode(wrong)


def test_unknown_lag_is_not_zero() -> None:
    # Given partitions whose lag is known, and two where it is not
    one, two = Partition("t", 0), Partition("t", 1)
    known = Progress(one, 3, 5)
    for unknown in (Progress(two, None, 5), Progress(two, 3, None)):
        # Then the group's lag is unknown as well
        assert unknown.lag is None
        assert Group("g", "classic", "Stable", progress=(known, unknown)).lag is None
    assert Group("g", "classic", "Stable", progress=(known, Progress(two, 1, 1))).lag == 2
    assert Group("g", "classic", "Empty").lag is None
    assert Group("g", "classic", "Stable", progress=(Progress(two, 1, 1),), missing=("gone",)).lag is None

    # And an end that was read before the commit is no negative lag
    assert Progress(one, 5, 4).lag == 0


def test_every_assigned_partition_has_its_owner() -> None:
    one, two = Partition("t", 0), Partition("t", 1)
    first = Member("m1", "i1", "c", "h", ("t",), (one,))
    second = Member("m2", None, "c", "h", ("t",), (two,))
    assert Group("g", "classic", "Stable", members=(first, second)).owners == {one: first, two: second}
