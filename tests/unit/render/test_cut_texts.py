"""A text that is cut has no half of a secret at its end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ops.core.masking import SECRETS, Secrets
from ops.core.telling import Result
from ops.fleet.conversation import shorten
from ops.node import logtail
from ops.render.cuts import hanging, wrapped
from ops.render.letters import letter_lines
from ops.render.step_summary import deploy_summary

SECRET = "correct  horse/battery+staple"
LETTER = {"name": "a", "topic": "t", "partition": "3", "offset": "7", "at": 0.0, "attempts": "4", "reason": "no"}


def letter(text: str) -> str:
    return "".join(letter_lines([{**LETTER, "key": text, "value": text, "omitted": ""}], 0.0))


def summary(text: str) -> str:
    return deploy_summary(Result("deploy", "test", 1, 1.0, "", "", text), (), None, "")


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Secrets:
    """What this process knows, for this test alone."""
    for name, empty in (("_values", set()), ("_names", set()), ("_pattern", None)):
        monkeypatch.setattr(SECRETS, name, empty)
    return SECRETS


@pytest.mark.parametrize(
    ("show", "length"),
    [
        (logtail.cut, logtail.LINE_CHARACTERS),
        (letter, 100),
        (lambda text: shorten(text.encode()), 200),
        (summary, 40),
        (lambda text: "|".join(wrapped(text, 40)), 40),
        (lambda text: "|".join(hanging(text, 40)), 40),
    ],
)
def test_what_is_cut_is_hidden_first(known: Secrets, show: Callable[[str], str], length: int) -> None:
    # Given a secret of several words that lies across the place where a text is cut, and far behind it
    known.learn({"DB_PASS": SECRET})
    for before in range(length - len(SECRET), length + 2):
        shown = show(f"{'x' * before}{SECRET}{'y' * length}")
        # Then no part of it that could be told is shown
        assert not any(part in shown for part in ("corr", "horse", "batt", "stap")), shown
