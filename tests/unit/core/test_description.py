"""The line that a release says what it reads by."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.description import DESCRIPTION, asked, encode_description, read_description

NAMES = st.text(max_size=20)


@given(NAMES, st.dictionaries(NAMES, st.lists(NAMES, max_size=3), max_size=3))
def test_a_description_is_one_line_and_comes_back(app: str, groups: dict[str, list[str]]) -> None:
    # Given any app's groups
    line = encode_description(app, groups)
    # Then they are read back from one line
    assert line.splitlines() == [line]
    assert read_description(line) == groups


@pytest.mark.parametrize(
    "line",
    [
        "",
        "starting karafka",
        '"karafka"',
        '{"karafka": 1',
        '["karafka", 1]',
        json.dumps({"app": "orders", "groups": {}}),
        json.dumps({"karafka": DESCRIPTION + 1, "groups": {"g": ["a"]}}),
        json.dumps({"karafka": DESCRIPTION}),
        json.dumps({"karafka": DESCRIPTION, "groups": ["g"]}),
        json.dumps({"karafka": DESCRIPTION, "groups": {"g": "a"}}),
        json.dumps({"karafka": DESCRIPTION, "groups": {"g": [1]}}),
        '{"karafka": ' + "[" * 100_000,
    ],
)
def test_any_other_line_is_none(line: str) -> None:
    # Given what else a command prints, or a description of another version
    # Then nothing is read of it
    assert read_description(line) is None


def test_a_process_is_asked_by_its_environment() -> None:
    # Given environments with and without the question
    # Then only the first is asked
    assert asked({"KARAFKA_DESCRIBE": "1"})
    assert not asked({"KARAFKA_DESCRIBE": ""})
    assert not asked({})
