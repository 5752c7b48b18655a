"""A log file that grows, is truncated, is replaced."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.node.logfile import LogFile, not_older, seconds_of


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_lines_come_once_each_and_whole(tmp_path: Path) -> None:
    # Given a log whose last line is not finished
    path = tmp_path / "log"
    append(path, "one\ntwo\nthr")
    log = LogFile(path)
    assert log.begin(1) == []
    # When it goes on
    append(path, "ee\nfour\nfi")
    # Then every line is told once, when it is whole
    assert log.more() == ["three", "four"]
    append(path, "ve\n")
    assert log.more() == ["five"]
    assert log.more() == []
    log.close()


def test_truncation_and_replacement_lose_nothing_that_was_written_before(tmp_path: Path) -> None:
    # Given a log that is followed
    path = tmp_path / "log"
    append(path, "a long first line\n")
    log = LogFile(path)
    assert log.begin(5) == ["a long first line"]
    # When it is truncated in place
    path.write_text("short\n")
    assert log.more() == ["short"]
    # When it is renamed, written to once more, and a new one is made
    path.rename(tmp_path / "log.1")
    append(tmp_path / "log.1", "last of the old\nunfinished")
    assert log.more() == ["last of the old"]
    append(path, "first of the new\n")
    # Then both are told, in order
    assert log.more() == ["unfinished", "first of the new"]
    log.close()


def test_a_log_may_come_later(tmp_path: Path) -> None:
    # Given no log at all
    log = LogFile(tmp_path / "log")
    assert log.begin(5) == log.more() == []
    # When it comes, its lines are told from the first
    append(tmp_path / "log", "one\n")
    assert log.more() == ["one"]
    log.close()


ZONES = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    at=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=ZONES),
    between=st.sampled_from("T "),
    mark=st.sampled_from(".,"),
    digits=st.integers(0, 6),
    colon=st.sampled_from(["", ":"]),
    blank=st.sampled_from(["", " "]),
)
def test_a_time_is_read_in_every_form_that_loggers_write(
    at: datetime, between: str, mark: str, digits: int, colon: str, blank: str
) -> None:
    # Given a line that begins with a time: some digits of the second, a zone with or without colon and blank
    fraction = f"{at.microsecond:06}"[:digits]
    offset = at.strftime("%z")
    zone = f"{blank}{offset[:3]}{colon}{offset[3:]}"
    line = f"{at.strftime(f'%Y-%m-%d{between}%H:%M:%S')}{mark + fraction if digits else ''}{zone} text"
    # When it is read
    # Then it is that time, on every interpreter
    meant = at.replace(microsecond=int(f"{fraction:0<6}"))
    assert seconds_of(line) == pytest.approx(meant.timestamp(), abs=1e-6)
    # And without an offset, Z is UTC
    if not at.utcoffset():
        assert seconds_of(line.replace(zone, f"{blank}Z")) == seconds_of(line)


def test_lines_without_a_time_are_as_old_as_the_one_before() -> None:
    # Given lines of two times, with what belongs to them
    lines = ["2026-01-01 10:00:00,123 old", "  its trace", "2026-01-01T12:00:00+00:00 new", "  its trace"]
    than = seconds_of("2026-01-01T11:59:59Z") or 0.0
    # Then what belongs to the new one is kept with it
    assert not_older(lines, than, changed=0.0) == lines[2:]
    # And where no line has a time, the file's last change is all there is to go by
    assert not_older(["a", "b"], 100.0, changed=200.0) == ["a", "b"]
    assert not_older(["a", "b"], 100.0, changed=50.0) == []
