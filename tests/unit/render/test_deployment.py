"""What a deploy says, as lines and as JSON."""

from __future__ import annotations

import io
import json
import re
from datetime import datetime

import pytest

from ops.core.release import Release, ReleaseState
from ops.core.telling import (
    HookBegun,
    HostFact,
    HostRelease,
    Output,
    Result,
    StageBegun,
    StageEnded,
    Table,
    Uploaded,
)
from ops.render.deployment import ConsoleNarrator, JSONNarrator, releases_table

EVENTS = (
    StageBegun("deploy", "updating"),
    Uploaded("host1", 5, 10),
    HostFact("host1", "received", "app.tar, 20.0 MB, in 0.4 s"),
    HostFact("host1", "spawned", "process 7", "karafka-0"),
    HookBegun("after-updating", "on the hosts"),
    Output("after-updating", "migrated", "host1"),
    Output("notify", "done"),
    HostFact("host2", "failed", "host2: no route", failed=True),
    HostFact("host2", "in the way", "its clock is 40 s ahead", failed=True),
    StageEnded("deploy", "updating", 1.25, "no route"),
    Table((HostRelease("host1", "2", "1", ("1",)), HostRelease("host2", "", note="not known"))),
    Result("deploy", "live", 4, 2.0, "2", "abc", "deploy:updating failed: no route\ncurrent was not touched"),
)


def test_without_a_terminal_there_is_a_line_with_the_time_for_each_event() -> None:
    # Given no terminal
    errors, output = io.StringIO(), io.StringIO()
    narrator = ConsoleNarrator(errors, output)
    # When everything is told
    for event in EVENTS:
        narrator.tell(event)
    # Then each has its line, and uploads none
    lines = [re.sub(r"^\d\d:\d\d:\d\d ", "@ ", line) for line in errors.getvalue().splitlines()]
    assert lines == [
        "@ deploy:updating",
        "@ host1: received app.tar, 20.0 MB, in 0.4 s",
        "@ host1 karafka-0: spawned (process 7)",
        "@ hook after-updating (on the hosts)",
        "@ host1 after-updating | migrated",
        "@ notify | done",
        "@ host2: no route",
        "@ host2: its clock is 40 s ahead",
        "@ deploy:updating failed after 1.2 s",
        "@ deploy:updating failed: no route",
        "  current was not touched",
    ]
    # And the table is the only thing on standard output
    assert [line.split() for line in output.getvalue().splitlines()] == [
        ["HOST", "CURRENT", "RUNNING", "PREVIOUS", "NOTES"],
        ["host1", "2", "1", "1"],
        ["host2", "-", "-", "-", "not", "known"],
    ]


def test_on_a_terminal_uploads_share_a_bar_that_goes_when_all_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a terminal
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    errors = Terminal()
    narrator = ConsoleNarrator(errors, io.StringIO())
    # When two hosts get an artifact
    for event in (Uploaded("host1", 5, 10), Uploaded("host2", 10, 10), Uploaded("host1", 10, 10)):
        narrator.tell(event)
    narrator.tell(HostFact("host1", "received", "app.tar"))
    # Then there was one bar for both, and it is taken away before the next line
    text = errors.getvalue()
    assert "20/20 bytes" in text
    assert text.endswith("host1: received app.tar\n")
    assert "\x1b[2K" in text[text.rindex("bytes") :]


def test_as_json_each_event_is_a_line_with_its_kind() -> None:
    # When everything is told as JSON
    output = io.StringIO()
    narrator = JSONNarrator(output)
    for event in EVENTS:
        narrator.tell(event)
    # Then each line has the kind and all of the event
    found = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [one["event"] for one in found] == [type(event).__name__ for event in EVENTS]
    assert all(datetime.fromisoformat(one.pop("at")).tzinfo for one in found)
    assert found[1] == {"event": "Uploaded", "host": "host1", "sent": 5, "size": 10}
    assert found[-2]["rows"][0]["running"] == ["1"]


def test_releases_are_listed_newest_first_with_what_is_wrong_with_them() -> None:
    # Given a host with a bad release, and one without any
    there = (Release("1", revision="a" * 40), Release("2", ReleaseState.BAD, reason="it did not commit"))
    # Then all stand there
    lines = [line.split() for line in releases_table([("host1", "1", there), ("host2", "", ())])]
    assert lines[1] == ["host1", "2", "bad", *["it", "did", "not", "commit"]]
    assert lines[2] == ["1", "current", "a" * 19]
    assert lines[3] == ["host2", "-"]
