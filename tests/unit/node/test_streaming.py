"""Programs whose output is told while they run."""

from __future__ import annotations

import sys

import pytest

from ops.core.deadline import Deadline
from ops.node.streaming import NotRunError, TimedOutError, run


def test_a_program_that_writes_without_end_is_ended_at_its_deadline() -> None:
    # Given one that never stops to write
    waited = Deadline(20)
    # When its time is over
    with pytest.raises(TimedOutError, match="had not ended after"):
        run(["sh", "-c", "while :; do echo y; done"], 0.2)
    # Then that is its end
    assert not waited.expired


def test_a_long_line_comes_whole_in_parts_where_all_of_it_is_wanted() -> None:
    # Given a line that is longer than what is read at once, and another
    script = "print('x' * 200_000, end='z\\n', flush=True); print('last')"
    told: list[str] = []
    # When all of it is wanted
    ended = run([sys.executable, "-c", script], 20, told.append, whole=True)
    # Then nothing is lost, and what is kept is short
    assert "".join(told).replace("\n", "") == "x" * 200_000 + "zlast"
    assert max(len(one) for text in told for one in text.split("\n")) <= 1 << 17
    assert all(len(line) < 3000 for line in ended.lines)
    # And else it is cut
    told.clear()
    run([sys.executable, "-c", script], 20, told.append)
    assert ["more characters" in line for line in told] == [True, False]


def test_what_cannot_be_run_is_told_apart_from_what_fails() -> None:
    for argv in (["/no/such"], ["sh", "nul\0byte"]):
        with pytest.raises(NotRunError, match="cannot be run"):
            run(argv, 1)
