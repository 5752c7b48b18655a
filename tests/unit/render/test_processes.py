"""The table of processes: plain and on a terminal."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.cluster import Partition
from ops.core.protocol import ProcessReport
from ops.core.sight import Place, Row, Zombie
from ops.core.states import State
from ops.render.processes import (
    HostRows,
    bytes_text,
    notes,
    partitions_owned,
    plain_lines,
    print_processes,
    seconds_text,
)
from ops.render.streams import is_terminal

CONSUMER = {
    "state": "running",
    "groups": {
        "a": {"assignment": {"t": [0, 1], "u": [3]}, "rejoin_heals": 0, "failed": 0, "dead_lettered": 0},
        "b": {"assignment": {}, "rejoin_heals": 2, "failed": 0, "dead_lettered": 1},
    },
}
RUNNING = ProcessReport(
    "karafka-0",
    State.RUNNING,
    pid=1234567,
    uptime_seconds=7300.0,
    cpu_percent=12.345,
    rss_bytes=64 << 20,
    threads=9,
    release="20261123112233",
    restarts=3,
    consumer=CONSUMER,
)
DEAD = ProcessReport("karafka-1", State.DEAD, message="process 77 is gone and left its pidfile")
HOSTS = (
    HostRows("web1.example.com", (RUNNING, DEAD)),
    HostRows("web2.example.com", (ProcessReport("karafka-0", State.UNKNOWN),), "web2.example.com: down\n  look at it"),
)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_terminal(monkeypatch: pytest.MonkeyPatch, columns: int, hosts: Sequence[HostRows] = (), **environ: str) -> str:
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "FORCE_COLOR", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    stream = Terminal()
    print_processes(hosts or HOSTS, stream)
    return stream.getvalue()


def test_a_crash_loop_is_told_with_how_often_and_its_last_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a process that is started again and again, and one that runs and has a log as well
    text = "restarted 4 times after a death within 5 min"
    loop = ProcessReport("karafka-0", State.CRASH_LOOPING, message=text, log=tuple(f"line {n}" for n in range(9)))
    hosts = (HostRows("web1", (loop, replace(RUNNING, log=("all is well",)))),)
    # Then the table says what it is, and below it how often, with what it wrote last
    for shown in ("\n".join(plain_lines(hosts)), on_terminal(monkeypatch, 100, hosts, NO_COLOR="1")):
        assert "crash-looping" in shown
        assert f"web1 karafka-0: {text}" in shown
        assert "| line 8" in shown
        assert "| line 3" not in shown
        assert "all is well" not in shown


def test_plain_lines_are_aligned_and_nothing_is_cut_off() -> None:
    # When the table goes into a pipe
    lines = plain_lines(HOSTS)
    # Then each column begins under its heading, whole
    assert " ".join(lines[0].split()) == "HOST PROCESS STATE PID UP CPU% RSS THR RST PARTS RELEASE NOTES"
    at = lines[0].index("STATE")
    assert lines[1][at:].startswith("running 1234567 2h01m 12.3 64M   9   3     3 20261123112233 2 healed")
    assert lines[2][at:].startswith("dead")
    assert lines[3][at:].startswith("unknown")
    # And what has no column stands below
    assert lines[4:] == [
        "web1.example.com karafka-1: process 77 is gone and left its pidfile",
        "web2.example.com: down",
        "  look at it",
    ]


def test_columns_that_nobody_fills_are_left_out() -> None:
    # Given nothing but a stopped process
    lines = plain_lines([HostRows("web1", (ProcessReport("karafka-0", State.STOPPED),))])
    # Then the columns of a running one are gone
    assert lines[0].split() == ["HOST", "PROCESS", "STATE", "PID"]


def test_no_processes_are_a_table_too() -> None:
    # When there are none
    assert plain_lines([])[0].split() == ["HOST", "PROCESS", "STATE", "PID"]


def test_a_pipe_gets_no_escape_sequences() -> None:
    # When the table goes into a pipe
    stream = io.StringIO()
    print_processes(HOSTS, stream)
    # Then it is plain
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().splitlines() == plain_lines(HOSTS)


def test_a_terminal_gets_colours_by_state(monkeypatch: pytest.MonkeyPatch) -> None:
    # When the table goes to a terminal
    text = on_terminal(monkeypatch, 120)
    # Then running is green and dead is red
    assert re.search(r"\x1b\[32mrunning", text)
    assert re.search(r"\x1b\[1;31mdead", text)


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    # When a user wants no colours
    text = on_terminal(monkeypatch, 120, NO_COLOR="1")
    # Then there are none
    assert not re.search(r"\x1b\[\d*;?3\dm", text)
    assert "running" in text


def test_eighty_columns_hold_what_matters_on_one_line_each(monkeypatch: pytest.MonkeyPatch) -> None:
    # When the terminal is narrow
    text = re.sub(r"\x1b\[[\d;]*m", "", on_terminal(monkeypatch, 80))
    lines = [line.rstrip() for line in text.splitlines()]
    # Then no line is longer, no row breaks, what decides is there, and a release keeps its end, where releases differ
    assert max(map(len, lines)) <= 80
    assert re.match(r"web1.example.com karafka-0 running 1234567 2h01m +3 +3 …3112233 2 healed, 1…$", lines[1])
    assert lines[2].split() == ["karafka-1", "dead"]
    assert lines[3].split() == ["web2.example.com", "karafka-0", "unknown"]


@pytest.mark.parametrize("columns", [40, 60, 72, 100])
def test_no_terminal_is_too_narrow(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    # When the terminal has any width
    text = re.sub(r"\x1b\[[\d;]*m", "", on_terminal(monkeypatch, columns))
    rows = text.splitlines()[:4]
    # Then each process keeps its line, and its state stays whole
    assert max(map(len, rows)) <= columns
    assert ["running" in rows[1], "dead" in rows[2], "unknown" in rows[3]] == [True] * 3


def test_what_a_consumer_says_is_put_in_short() -> None:
    # When a consumer has two groups
    # Then partitions are summed, and what went wrong is counted
    assert partitions_owned(RUNNING) == 3
    assert notes(RUNNING) == "2 healed, 1 dead letter"
    assert partitions_owned(DEAD) is None
    assert notes(DEAD) == ""


@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)))
def test_whatever_a_foreign_status_record_says_the_table_is_printed(record: object) -> None:
    # Given a record that no consumer of ours has written
    for consumer in (record, {"groups": record}, {"groups": {"a": record}}, {"groups": {"a": {"assignment": record}}}):
        report = ProcessReport("karafka-0", State.RUNNING, consumer=consumer)  # type: ignore[arg-type]
        # Then that is no reason to fail
        assert len(plain_lines([HostRows("web1", (report,))])) == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((0, "0.0s"), (0.84, "0.8s"), (9.96, "10s"), (59.9, "59s"), (60, "1m00s"), (3599, "59m59s")),
        *((3600, "1h00m"), (86_399, "23h59m"), (86_400, "1d0h"), (86_400 * 999.5, "999d12h")),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    # When a duration is shown
    # Then two units are enough
    assert seconds_text(seconds) == text


@given(st.integers(0, 1 << 44))
def test_sizes_have_a_unit_and_few_characters(count: int) -> None:
    # When any size is shown
    # Then it stays short
    assert re.fullmatch(r"\d{1,5}(\.\d)?[KMG]", bytes_text(count))


@pytest.mark.parametrize(
    ("environ", "terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TTY_COMPATIBLE": "1"}, False, True),
        ({"TTY_COMPATIBLE": "0"}, True, False),
    ],
)
def test_what_counts_as_a_terminal(environ: dict[str, str], terminal: bool, expected: bool) -> None:
    # Given a stream and an environment
    stream = Terminal() if terminal else io.StringIO()
    # Then the variables win over the stream
    assert is_terminal(stream, environ) is expected


PLACE = Place("g", "Stable", "m", 3, tuple(Partition("t", number) for number in range(4)), 17)
LOST = replace(PLACE, member_id=None, partitions=(), lag=None)


def joined(*places: Place, zombies: tuple[Zombie, ...] = (), report: ProcessReport = RUNNING) -> HostRows:
    row = Row("web1.example.com", report, "i", ("g",), places, zombies)
    return HostRows("web1.example.com", (report,), rows={report.name: row})


def cell(lines: list[str], name: str) -> str:
    end = lines[0].index(name) + len(name)
    return lines[1][:end].rsplit(None, 1)[-1]


def test_partitions_and_lag_are_the_brokers_word() -> None:
    # Given a process that takes itself for the owner of three partitions, and brokers that say four
    lines = plain_lines([joined(PLACE)])
    # Then the brokers' word counts
    assert (cell(lines, "PARTS"), cell(lines, "LAG")) == ("4", "17")
    # And a lag that nobody knows is no zero: no member, the cluster not asked
    assert cell(plain_lines([joined(LOST)]), "LAG") == "?"
    assert (cell(plain_lines([joined()]), "PARTS"), cell(plain_lines([joined()]), "LAG")) == ("3", "?")
    # And of a process that is down there is none, unless its member is left
    assert "LAG" not in plain_lines([joined(LOST, report=DEAD)])[0]
    assert cell(plain_lines([joined(PLACE, report=DEAD)]), "LAG") == "17"


def test_a_zombie_is_a_word_that_a_narrow_terminal_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a process that is two kinds of zombie
    found = (Zombie.OLD_RELEASE, Zombie.NOT_IN_GROUP)
    host = joined(LOST, zombies=found)
    # When the terminal has 80 columns
    text = on_terminal(monkeypatch, 80, (host, HostRows.below(["web1 karafka-0: not in it"])))
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()]
    # Then both words are whole and red, the lag is there, and what is remarkable stands below
    assert max(map(len, lines)) <= 80
    assert "old release, not in the group" in lines[1]
    assert cell(lines, "LAG") == "?"
    assert re.search(r"\x1b\[1;31mold release, not in the group", text)
    assert lines[2] == "web1 karafka-0: not in it"
