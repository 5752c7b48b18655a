"""The end of a log."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ops.node import logtail


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=20)),
    st.integers(1, 12),
)
def test_the_tail_is_the_end_of_all_lines(tmp_path: Path, lines: list[str], count: int) -> None:
    # Given any lines
    path = tmp_path / "log"
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    # Then the tail is their end (a log of one empty line has nothing to show)
    assert logtail.tail(path, count) == (() if lines in ([], [""]) else tuple(lines[-count:]))


def test_a_big_log_is_read_from_its_end(tmp_path: Path) -> None:
    # Given a log of 1 GB with three lines at its end
    path = tmp_path / "log"
    with path.open("wb") as file:
        file.seek(1 << 30)
        file.write(b"\none\ntwo\nthree")
    # Then its end comes without reading it all, cut where a line has none
    assert logtail.tail(path, 2) == ("two", "three")
    assert len(logtail.tail(path, 5)[0]) < 3000


def test_a_long_line_is_cut(tmp_path: Path) -> None:
    # Given a line of 100 000 characters
    path = tmp_path / "log"
    path.write_text("x" * 100_000)
    # Then it is cut, and that is said
    (line,) = logtail.tail(path, 1)
    assert line == "x" * 2000 + " ... (98000 more characters)"


def test_only_what_came_since_is_shown(tmp_path: Path) -> None:
    # Given a log that had 4 bytes at the start
    path = tmp_path / "log"
    path.write_text("old\nnew\n")
    assert logtail.tail(path, 9, since=4) == ("new",)
    assert logtail.tail(path, 9, since=8) == ()
    # When it was truncated meanwhile, then all of it is new
    path.write_text("n\n")
    assert logtail.tail(path, 9, since=4) == ("n",)


def test_no_lines_and_no_file_give_nothing(tmp_path: Path) -> None:
    # Given no file
    assert logtail.tail(tmp_path / "log", 5) == ()
    assert logtail.size(tmp_path / "log") == 0
    # And one that nobody wants to see
    (tmp_path / "log").write_text("a\n")
    assert logtail.tail(tmp_path / "log", 0) == ()


def test_a_log_that_is_no_file_gives_nothing_and_hides_nothing_else(tmp_path: Path) -> None:
    # Given logs that lead to /dev/null, to a folder, and round in a circle
    for name, place in (("null", "/dev/null"), ("folder", str(tmp_path)), ("round", "round")):
        (tmp_path / name).symlink_to(place)
        assert logtail.tail(tmp_path / name, 5) == ()
