"""The list of past rollouts, and what a summary says where nothing happened."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from ops.core.history import HistoryAnswer
from ops.core.stalls import PartitionEvidence
from ops.render.evidence import totals
from ops.render.history import print_history
from tests.labs.evidence import Make


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def listed(rollout: Make) -> HistoryAnswer:
    done = rollout()
    summary = {**done.summary(), "holder": "ann@laptop pid 4711"}
    unknown = {**summary, "rebalances": None, "longest_stall_seconds": None}
    return HistoryAnswer((done.name, "20260101T000000Z-2", "20260101T000000Z-1"), (summary, unknown, {}))


def test_every_rollout_has_a_line_and_unknown_is_not_zero(rollout: Make) -> None:
    # Given three rollouts, one of them unreadable, one of which not everything is known
    out = io.StringIO()
    # When they are listed
    print_history(listed(rollout), out)
    # Then each has its line, in order, and nothing is cut off
    heading, first, second, third = out.getvalue().splitlines()
    assert heading.split() == ["ROLLOUT", "WHEN", "OUTCOME", "SLOTS", "WARM", "STALL", "USUAL", "REBAL", "TOOK", "BY"]
    assert first.endswith("ann@laptop pid 4711")
    assert " 4/4 " in first
    assert " ? " in second
    assert "cannot be read" in third


@pytest.mark.parametrize(("columns", "shown"), [(80, False), (160, True)])
def test_a_narrow_terminal_does_without_who_did_it(
    rollout: Make, columns: int, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a terminal
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    # When rollouts are listed
    print_history(listed(rollout), out)
    # Then no line is longer than it is wide
    assert ("ann@laptop" in out.getvalue()) is shown
    assert max(map(len, out.getvalue().splitlines())) <= columns


def test_no_rollout_is_said_in_words() -> None:
    # When there is none
    out = io.StringIO()
    print_history(HistoryAnswer(()), out)
    # Then that is said
    assert out.getvalue() == "no rollout yet\n"


def test_a_rollout_without_traffic_had_no_stall_and_one_without_records_an_unknown_one(rollout: Make) -> None:
    # Given partitions to which nothing came, and others of which only lag is known
    idle = PartitionEvidence("g", "t", 0, lag_before=0, lag_peak=0, lag_after=0)
    busy = replace(idle, lag_peak=9)
    # When their rollouts are told
    texts = [dict(totals(replace(rollout(), partitions=some))) for some in ((idle, idle), (idle, busy), ())]
    # Then nothing is claimed that nobody knows
    assert [one["longest stall"] for one in texts] == [
        "none: nothing came",
        "unknown: no record of it",
        "unknown: no record of it",
    ]
