"""The doctor's table."""

from __future__ import annotations

import io

import pytest

from ops.core.checkup import Finding
from ops.render.diff import print_diff
from ops.render.findings import finding_lines, print_findings
from ops.render.loglines import LogLines

UNIT = "/etc/systemd/system/karafka-shop@.service"
FINDINGS = [
    Finding("web1", "drift", f"differs: {UNIT} (edited by hand)", "fab karafka.install --hosts web1"),
    Finding("", "cluster", "it could not be asked: no broker\n  at k1:9092", "fab karafka.lag"),
]
LONG = Finding("web1", "zombie", "x " * 60, "fab karafka.restart --hosts web1 --processes karafka_big-12")


@pytest.mark.parametrize("findings", [FINDINGS, [*FINDINGS, LONG]])
def test_it_fits_a_narrow_terminal_and_never_breaks_a_command(findings: list[Finding]) -> None:
    # When it is shown in 80 columns
    lines = finding_lines(findings, 80)
    # Then no line is longer, and every command is in one piece
    assert max(map(len, lines)) <= 80
    assert all(any(line.endswith(one.mend) for line in lines) for one in findings)


@pytest.mark.parametrize(("length", "begin"), [(60, 6), (78, 2), (80, 0), (83, 0)])
def test_a_command_below_its_finding_has_a_line_of_its_own_and_the_heading_is_one(length: int, begin: int) -> None:
    # Given a command that is too long to stand beside its finding, up to one that no line of the terminal holds
    command = "fab ".ljust(length, "x")
    head, *lines = finding_lines([Finding("web1", "drift", "it differs from the settings", command)], 80)
    # Then it begins where it fits, or at the very left, and nothing else is in its line
    assert head == "HOST  FINDING, MEND"
    assert lines == ["web1  it differs from the settings", " " * begin + command]


def test_a_remark_is_told_from_a_fault() -> None:
    # Given the same of both
    both = [Finding("web1", "x", "no log is rotated", "do", remark=remark) for remark in (True, False)]
    _, remark, fault = finding_lines(both, None)
    # Then one is called a remark
    assert "remark: no log" in remark
    assert "remark" not in fault


def test_off_a_terminal_a_finding_is_a_line() -> None:
    # When it is written into a pipe
    stream = io.StringIO()
    print_findings(FINDINGS, stream)
    # Then there is a heading, and one line each
    head, first, second = stream.getvalue().splitlines()
    assert head.split() == ["HOST", "FINDING", "MEND"]
    assert first.endswith("(edited by hand)  fab karafka.install --hosts web1")
    assert second.startswith("-     it could not be asked: no broker at k1:9092 ")


def test_lines_of_logs_say_whose_they_are_and_steer_no_terminal() -> None:
    # Given two processes with names of different length
    stream = io.StringIO()
    out = LogLines(stream, [("h1", "karafka-0"), ("host2", "karafka-10")])
    # When one writes what would clear a terminal
    out.write("h1", "karafka-0", "\x1b[2Jgone\tstay")
    # Then the text begins where all begin, and nothing is cleared
    assert stream.getvalue() == "h1 karafka-0     | �[2Jgone\tstay\n"


def test_a_terminal_gets_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an output that counts as a terminal
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    log, diff = io.StringIO(), io.StringIO()
    # When a log's line and a diff are written
    LogLines(log, [("h1", "karafka-0")]).write("h1", "karafka-0", "text")
    print_diff(["--- a", "+++ b", "-old", "+new"], diff)
    # Then both are coloured, and say the same
    assert "\x1b[" in log.getvalue()
    assert "text\n" in log.getvalue()
    assert "\x1b[32m    +new\x1b[0m\n" in diff.getvalue()
