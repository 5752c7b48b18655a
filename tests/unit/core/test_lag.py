"""Lag as rows, data and exit code: what nobody knows is never 0."""

from __future__ import annotations

import pytest

from ops.core.cluster import CLASSIC, STABLE, Group, Partition, Progress
from ops.core.errors import ExitCode
from ops.core.lag import lag_data, lag_exit_code, lag_remarks, lag_rows

KNOWN = Progress(Partition("orders", 0), 3, 5)


@pytest.mark.parametrize(
    ("group", "lags"),
    [
        (Group("g", CLASSIC, STABLE, progress=(KNOWN,)), [2]),
        (Group("g", CLASSIC, STABLE, missing=("invoices",)), [None]),
        (Group("g", CLASSIC, STABLE, progress=(KNOWN,), missing=("invoices",)), [2, None]),
        (Group("g", CLASSIC, "PreparingRebalance"), [None]),
        (Group("g", CLASSIC, "Empty"), [None]),
        (Group("g", "", "Dead"), [None]),
        (Group("g", CLASSIC, STABLE, progress=(KNOWN, Progress(Partition("gone", 0), 3, None))), [2, None]),
    ],
)
def test_what_a_row_does_not_know_is_exit_4_and_null_in_the_data(group: Group, lags: list[int | None]) -> None:
    # Given a group, when its lag is told as rows, as data and as exit code
    rows, (data,) = lag_rows([group]), lag_data([group])["groups"]
    # Then all three say the same
    assert [row.lag for row in rows] == lags
    assert data["lag"] == (None if None in lags else sum(one for one in lags if one is not None))
    assert lag_exit_code([group]) is (ExitCode.UNREACHABLE if None in lags else ExitCode.DONE)


def test_a_missing_topic_has_a_row_and_a_line_that_says_what_makes_it() -> None:
    # Given a group that reads a topic that is not on the cluster
    group = Group("billing", CLASSIC, STABLE, missing=("invoices",))
    # Then the topic stands in the rows and in the data, with what makes it below
    (row,), (data,) = lag_rows([group]), lag_data([group])["groups"]
    assert (row.topic, row.partitions, row.lag) == ("invoices", 0, None)
    assert data["missing_topics"] == ["invoices"]
    (line,) = lag_remarks([group])
    assert line.startswith("group billing: topic invoices is not on the cluster")
    assert "inv topics.apply" in line
