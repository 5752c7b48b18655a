"""The table of lag on terminals of any width."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ops.core.lag import LagRow
from ops.render.lag import lag_lines, lag_table, print_lag

ROWS = (
    LagRow("sources", "Stable", "repositories_created", 12, 1234567, 1234599, 32, 0, 6),
    LagRow("sources", "Stable", "registered_topics_of_the_whole_shop", 12, 7, 9, 2, 3, 6),
    LagRow("sources_with_a_long_name", "PreparingRebalance", "", 0, None, None, None, 0, 6),
)


def drawn(width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width).print(lag_table(ROWS))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_terminal_is_too_narrow_for_the_lag(width: int) -> None:
    # When the terminal has any width
    heading, *rows = drawn(width)
    # Then each row keeps its line, and the lag, the unknown one too, is whole
    assert max(map(len, (heading, *rows))) <= width
    end = heading.index("LAG") + len("LAG")
    assert [row[:end].split()[-1] for row in rows] == ["32", "2+?", "?"]


def test_what_a_wide_terminal_shows_is_what_a_pipe_gets() -> None:
    # When there is room for all
    # Then nothing is cut off, and a group's name stands once
    assert drawn(200) == lag_lines(ROWS)
    assert lag_lines(ROWS)[2].split()[0] == "registered_topics_of_the_whole_shop"


def test_what_is_to_be_done_stands_below_the_table_on_a_line_of_its_own() -> None:
    # When a topic is missing, then a pipe gets the table and the line below it
    stream = io.StringIO()
    print_lag(ROWS, stream, ("group g: topic t is not on the cluster",))
    assert stream.getvalue().splitlines() == [*lag_lines(ROWS), "group g: topic t is not on the cluster"]
