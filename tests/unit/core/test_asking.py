"""Questions and answers over a pipe come back as they went, and nothing else is taken for one."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from ops.core.asking import Answer, Ask, Question, decode_line, encode_judgement
from ops.core.cluster import Group, Member, Partition, Progress
from ops.core.gate import Terms
from ops.core.protocol import PROTOCOL, ProtocolError
from ops.core.standing import Process, Standing
from ops.core.states import State
from ops.core.verdict import Cause, Judgement, Reason, Verdict

TEXT = some.text(max_size=8)
COUNT = some.integers(0, 2**60)
PARTITIONS = some.lists(some.builds(Partition, TEXT, COUNT), max_size=3).map(tuple)
STANDINGS = some.builds(Standing, TEXT, some.none() | TEXT, COUNT, some.booleans(), PARTITIONS)
PROCESSES = some.builds(
    Process, TEXT, some.none() | TEXT, some.lists(TEXT, min_size=1, max_size=2).map(tuple), some.sampled_from(State),
    standings=some.dictionaries(TEXT, STANDINGS, max_size=2), session_timeout_seconds=some.none() | some.floats(0, 9),
    pid=some.none() | COUNT, addresses=some.none() | some.tuples(TEXT), ports=some.none() | some.tuples(COUNT),
)  # fmt: skip
MEMBERS = some.builds(Member, TEXT, some.none() | TEXT, TEXT, TEXT, some.tuples(TEXT), PARTITIONS)
PROGRESS = some.builds(Progress, some.builds(Partition, TEXT, COUNT), some.none() | COUNT, some.none() | COUNT)
GROUPS = some.builds(
    Group, TEXT, TEXT, TEXT, TEXT, some.none() | COUNT,
    some.lists(MEMBERS, max_size=2).map(tuple), some.lists(PROGRESS, max_size=2).map(tuple),
)  # fmt: skip
TERMS = some.builds(
    Terms, some.lists(PROCESSES, min_size=1, max_size=2).map(tuple),
    some.dictionaries(TEXT, some.tuples(TEXT, TEXT), max_size=2), some.none() | COUNT, some.tuples(GROUPS),
    some.tuples(some.sampled_from(Cause)), some.dictionaries(TEXT, some.tuples(TEXT, TEXT), max_size=2),
    ended=some.lists(PROCESSES, max_size=1).map(tuple),
)  # fmt: skip
JUDGEMENTS = some.builds(
    Judgement, some.sampled_from(Verdict),
    some.tuples(some.builds(Reason, some.sampled_from(Cause), TEXT, TEXT, TEXT, PARTITIONS)),
)  # fmt: skip


@given(TERMS, some.sampled_from([Ask.GATE, Ask.PREFLIGHT]))
def test_a_question_comes_back_as_it_went(terms: Terms, ask: Ask) -> None:
    # Given any terms
    question = Question(ask, ("a",), "h:1", timeout_seconds=3.0, deadline_seconds=60.0, terms=terms)
    # Then they survive the pipe
    assert Question.decode(question.encode()) == question


@given(JUDGEMENTS, GROUPS)
def test_an_answer_and_a_judgement_come_back_as_they_went(judgement: Judgement, group: Group) -> None:
    # Given any of them
    answer = Answer({"t": 3, "gone": None}, (group,), judgement, {"a": True}, {"dead": 2, "gone": None}, "error", 11)
    # Then each survives as what it is
    assert Answer.decode(answer.encode()) == answer
    assert decode_line(encode_judgement(judgement)) == judgement


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ask": "weather"}, "weather"),
        ({"names": "abc"}, "names: expected list"),
        ({"names": [1]}, "names: expected str"),
        ({"brokers": None}, "brokers: expected str"),
        ({"timeout_seconds": 0}, "a time is not within"),
        ({"deadline_seconds": 1e9}, "a time is not within"),
        ({"surprise": 1}, "surprise missing or unknown"),
        ({"ask": "gate"}, "needs terms"),
        ({"ask": "gate", "terms": {"processes": []}}, "needs terms"),
        ({"ask": "gate", "terms": {"processes": [{}]}}, "missing or unknown"),
        ({"ask": "gate", "terms": {"processes": [{"name": "x", "instance_id": 3, "groups": ["g"]}]}}, "instance_id"),
        ({"ask": "remove_members", "names": ["g"]}, "instance ids"),
        ({"ask": "remove_members", "names": ["g", "h"], "instances": ["a"]}, "one group"),
        ({"protocol": PROTOCOL + 1}, f"protocol {PROTOCOL}"),
    ],
)
def test_a_question_that_does_not_fit_is_refused_with_what_is_wrong(change: dict[str, object], said: str) -> None:
    # Given a question with one thing wrong
    text = json.dumps({"protocol": PROTOCOL, "ask": "topics", **change})
    # Then it is refused by its name
    with pytest.raises(ProtocolError, match=said):
        Question.decode(text)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", "null", '{"protocol": 0}', "[" * 100_000])
def test_noise_is_no_answer(text: str) -> None:
    # Given what a shell's start-up files may print
    # Then it is refused
    with pytest.raises(ProtocolError):
        decode_line(text)
