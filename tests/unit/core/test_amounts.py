"""Amounts as people read them, and that no sentence writes them in another way."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.amounts import counted, in_seconds, named

OPS = Path(__file__).parents[3] / "ops"


@pytest.mark.parametrize(
    ("value", "text"),
    [(4.99999, "5 s"), (0.25, "0.2 s"), (5, "5 s"), (20.0, "20 s"), (1.5, "1.5 s"), (604800.0, "604800 s"), (0, "0 s")],
)
def test_a_duration_has_at_most_one_digit_behind_its_point(value: float, text: str) -> None:
    assert in_seconds(value) == text


@given(st.floats(0, 1e6))
def test_no_duration_has_more_digits_than_people_read(value: float) -> None:
    assert re.fullmatch(r"[0-9]{1,7}(\.[1-9])? s", in_seconds(value))
    assert float(in_seconds(value)[:-2]) == pytest.approx(value, abs=0.51 if value > 99 else 0.051)


def test_no_sentence_writes_durations_by_itself_in_as_many_digits_as_there_are() -> None:
    # Given all that is written in the code
    wild = re.compile(r"\{[^{}]*(:g|:\.[0-9]g|_seconds|\.remaining)\} ?(s|seconds)\b")
    # Then no text shows a number of seconds as it comes
    found = [
        f"{path.relative_to(OPS)}:{number}: {line.strip()}"
        for path in OPS.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if wild.search(line)
    ]
    assert found == []


def test_a_count_agrees_with_its_noun() -> None:
    assert [counted(count, "message") for count in (0, 1, 2)] == ["0 messages", "1 message", "2 messages"]
    assert counted(2, "process", "processes") == "2 processes"


def test_no_sentence_leaves_it_to_its_reader_how_many_there_are() -> None:
    found = [
        f"{path.relative_to(OPS)}:{number}"
        for path in OPS.rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\} [a-z -]+\(s\)", line)
    ]
    assert found == []


def test_an_error_is_named_once() -> None:
    class KafkaTimeoutError(Exception):
        """As kafka-python's: its words begin with its name."""

        def __str__(self) -> str:
            return "KafkaTimeoutError: no answer"

    assert named(KafkaTimeoutError()) == "KafkaTimeoutError: no answer"
    assert named(ValueError("no number")) == "ValueError: no number"
    assert named(ValueError()) == "ValueError"
