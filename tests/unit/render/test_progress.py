"""Progress lines."""

from __future__ import annotations

import io
import re
import time

import pytest

from ops.core.protocol import Event, ProcessReport
from ops.core.states import State
from ops.render.progress import Progress

AT = 1_700_000_000.0
CLOCK = time.strftime("%H:%M:%S", time.localtime(AT))


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_off_a_terminal_each_line_has_its_time() -> None:
    # When an event is told into a pipe
    stream = io.StringIO()
    Progress(stream, clock=lambda: AT).event("web1", Event("karafka-0", "ready", "READY=1 after 0.8 s"))
    # Then the line says when, where and what
    assert stream.getvalue() == f"{CLOCK} web1 karafka-0: ready (READY=1 after 0.8 s)\n"


def test_on_a_terminal_there_is_colour_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    # When an event is told on a terminal
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    stream = Terminal()
    Progress(stream).event("web1", Event("karafka-0", "ready"))
    # Then it is coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()) == "web1 karafka-0: ready\n"
    assert "\x1b[32m" in stream.getvalue()


def test_markup_in_what_hosts_say_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    # When a host's words look like markup
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    Progress(stream).say("[bold]not bold[/bold]")
    # Then they are shown as they are
    assert "[bold]not bold[/bold]" in stream.getvalue()


def test_a_failure_shows_the_end_of_the_log() -> None:
    # Given a process that failed
    report = ProcessReport("karafka-0", State.STOPPED, ok=False, message="exited with 1", log=("one", "two"))
    stream = io.StringIO()
    # When it is reported
    Progress(stream, clock=lambda: AT).report("web1", report)
    # Then its last words are there
    assert stream.getvalue().splitlines() == [f"{CLOCK} web1 karafka-0: exited with 1", "  | one", "  | two"]


def test_a_success_shows_no_log_and_trouble_is_shown_whole() -> None:
    # When a process is fine, and a host is not
    stream = io.StringIO()
    progress = Progress(stream, clock=lambda: AT)
    progress.report("web1", ProcessReport("karafka-0", State.RUNNING, message="already running", log=("x",)))
    progress.trouble("web2: down\n  look at it")
    # Then only the trouble has more than a line
    assert stream.getvalue().splitlines() == [
        f"{CLOCK} web1 karafka-0: already running",
        f"{CLOCK} web2: down",
        "  look at it",
    ]
