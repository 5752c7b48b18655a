"""Deadlines."""

from __future__ import annotations

import time

import pytest

from ops.core.deadline import Deadline


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_deadline_of_nothing_has_expired_and_still_asks_once(seconds: float) -> None:
    # Given a deadline that lies in the past
    deadline = Deadline(seconds)
    calls: list[int] = []
    # When it is polled, then the probe was asked once
    assert deadline.expired
    assert deadline.remaining == 0.0
    assert deadline.poll(lambda: calls.append(1)) is None
    assert calls == [1]


def test_polling_ends_with_the_first_true_value() -> None:
    # Given a probe that is true the third time
    answers = iter([0, 0, 7, 8])
    # Then its value comes back at once
    assert Deadline(10).poll(lambda: next(answers), every=0.001) == 7


def test_polling_ends_at_the_deadline_with_the_last_value() -> None:
    # Given a probe that is never true
    began = time.monotonic()
    # Then its last value comes back when the time is over, even where the interval is longer
    assert Deadline(0.05).poll(lambda: "", every=60) == ""
    assert 0.05 <= time.monotonic() - began < 5


def test_the_probe_is_asked_once_more_at_the_end() -> None:
    # Given something that becomes true during the last wait
    deadline = Deadline(0.05)
    # Then it is seen
    assert deadline.poll(lambda: deadline.expired, every=60)


def test_an_error_of_the_probe_comes_through() -> None:
    # Given a probe that raises
    with pytest.raises(ZeroDivisionError):
        Deadline(1).poll(lambda: 1 / 0)
