"""Every table on terminals of any width, with names as long as fleets have them."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TextIO
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.core.checkup import Finding
from ops.core.cluster import Partition
from ops.core.evidence import Evidence, Outcome, VerdictEvidence
from ops.core.history import HistoryAnswer
from ops.core.lag import LagRow
from ops.core.protocol import ProcessReport
from ops.core.release import Release, ReleaseState
from ops.core.sight import Place, Row, Zombie
from ops.core.states import State
from ops.core.telling import HostRelease
from ops.render.cuts import width_of
from ops.render.deployment import hosts_table, releases_table
from ops.render.evidence import print_summary
from ops.render.findings import print_findings
from ops.render.history import print_history
from ops.render.jobs import queue_lines
from ops.render.lag import print_lag
from ops.render.letters import letter_lines
from ops.render.live import View, count_text
from ops.render.processes import HostRows, print_processes
from ops.render.renewal import headline
from ops.render.streams import fitting, width_of_terminal
from tests.labs.evidence import warm_rollout

BEGINS = ("web", "kafka-consumers-production-", "h", "billing-eu-west-1-consumers-of-all-")
ENDS = ("", ".example.com", ".eu-west-1.internal.example.com", "-of-the-old-data-centre")
GROUP = "billing-invoices-archive-consumer-group-of-production"
TOPIC = "billing-invoices-created-events-of-production"
REASON = "the gate refused it: billing-consumer-big-1 is not a member\nof the group 120 s after it was started"
NEW, OLD = "20261130123456", "20261130113456"


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@st.composite
def fleets(draw: st.DrawFn) -> tuple[str, ...]:
    """Names of hosts that differ by a number in their begin, middle or end."""
    begin, end = draw(st.sampled_from(BEGINS)), draw(st.sampled_from(ENDS))
    form = draw(st.sampled_from(("{:d}", "{:02d}", "{:03d}")))
    return tuple(f"{begin}{form.format(number)}{end}" for number in range(1, draw(st.integers(2, 4))))


def reports(process: str) -> tuple[ProcessReport, ...]:
    def one(number: int, state: State, release: str) -> ProcessReport:
        return ProcessReport(
            f"{process}-{number}", state, pid=1234567, uptime_seconds=273000.0, cpu_percent=112.3,
            rss_bytes=1640 << 20, threads=143, restarts=3, release=release,
            consumer={"groups": {"g": {"rejoin_heals": 2, "dead_lettered": 1}}},
        )  # fmt: skip

    return one(0, State.RUNNING, NEW), one(1, State.CRASH_LOOPING, OLD), one(2, State.UNKNOWN, NEW)


def processes(hosts: tuple[str, ...], process: str = "billing-consumer-big") -> tuple[HostRows, ...]:
    place = Place(GROUP, "Stable", "m", 3, tuple(Partition(TOPIC, number) for number in range(4)), 1234567)
    return tuple(
        HostRows(
            host,
            reports(process),
            rows={
                one.name: Row(host, one, "i", (GROUP,), (place,), (Zombie.OLD_RELEASE,) if one.release == OLD else ())
                for one in reports(process)
            },
        )
        for host in hosts
    )


def evidence(hosts: tuple[str, ...]) -> Evidence:
    made = warm_rollout(2 * len(hosts), 12)
    names = {f"web{number}.example.com": host for number, host in enumerate(hosts, start=1)}
    slots = tuple(replace(one, host=names[one.host], process=f"big-{one.process}") for one in made.slots)
    slots = (*slots[:-1], replace(slots[-1], ok=False, killed=True, message=REASON))
    rows = tuple(replace(one, topic=TOPIC, slot=slots[one.number % len(slots)].name) for one in made.partitions)
    reasons = (f"group {GROUP}: {slots[0].name} is not a member of it", REASON)
    return replace(
        made, slots=slots, partitions=rows, reason=REASON, outcome=Outcome.REFUSED,
        verdicts=(VerdictEvidence("gate after batch 1", "refused", 3.0, 2.0, reasons),),
    )  # fmt: skip


def histories() -> HistoryAnswer:
    summary = warm_rollout().summary() | {"holder": "some.operator@workstation.example.com pid 4711"}
    return HistoryAnswer(("20260102T000000Z-1767312000", "20260101T000000Z-1767312000"), (summary, {}))


def releases(hosts: tuple[str, ...]) -> list[tuple[str, str, tuple[Release, ...]]]:
    def one(name: str, state: ReleaseState, reason: str) -> Release:
        return Release(name, state, "a" * 40, "feature/of-the-whole-month", "some.operator@host", reason=reason)

    return [(host, NEW, (one(NEW, ReleaseState.WHOLE, ""), one(OLD, ReleaseState.BAD, REASON))) for host in hosts]


def findings(hosts: tuple[str, ...]) -> tuple[Finding, ...]:
    text = f"a member without process in group {GROUP}; nobody knows where it runs"
    return tuple(Finding(host, "zombie", text, f"fab karafka.restart --hosts {host}") for host in hosts)


def lags() -> tuple[LagRow, ...]:
    return (
        LagRow(GROUP, "Stable", TOPIC, 12, 1234567890, 1234567990, 100, 0, 6),
        LagRow(GROUP, "Stable", f"{TOPIC}-retry", 12, 7, 9, 2, 3, 6),
        LagRow(f"{GROUP}-2", "PreparingRebalance", "", 0, None, None, None, 0, 6),
    )


def queue() -> dict[str, object]:
    workers = [{"worker": f"billing.invoices.Worker{one}OfTheMonth", "jobs": 9, "oldest_seconds": 9} for one in "AB"]
    return {"topic": f"{TOPIC}-jobs", "jobs": 1234, "read": 1000, "oldest_seconds": 99999, "workers": workers}


def letters() -> list[dict[str, object]]:
    return [
        {
            "name": f"{TOPIC}.dead:3@12", "at": 0.0, "topic": TOPIC, "partition": 3, "offset": 1234567, "attempts": "3",
            "reason": REASON, "key": "k" * 60, "value": "word " * 60, "omitted": "",
        }
    ]  # fmt: skip


def tables(hosts: tuple[str, ...]) -> dict[str, Callable[[TextIO], object]]:
    """Return what shows each table."""

    def lines(made: Callable[[int | None], list[str]]) -> Callable[[TextIO], object]:
        return lambda stream: stream.write("".join(f"{line}\n" for line in made(width_of_terminal(stream))))

    standing = [HostRelease(host, NEW, OLD, (NEW, OLD), REASON) for host in hosts]
    return {
        "processes": lambda stream: print_processes(processes(hosts), stream),
        "evidence": lambda stream: print_summary(evidence(hosts), stream),
        "history": lambda stream: print_history(histories(), stream),
        "findings": lambda stream: print_findings(findings(hosts), stream),
        "lag": lambda stream: print_lag(lags(), stream),
        "releases": lines(lambda width: releases_table(releases(hosts), width)),
        "hosts": lines(lambda width: hosts_table(standing, width)),
        "jobs": lines(lambda width: queue_lines(queue(), 3, width)),
        "letters": lambda stream: stream.write("\n".join(fitting(letter_lines(letters(), 99.0), stream))),
    }


def on_terminal(show: Callable[[TextIO], object], width: int) -> list[str]:
    stream = Terminal()
    with mock.patch.dict("os.environ", {"COLUMNS": str(width), "TERM": "xterm-256color"}):
        show(stream)
    return [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).splitlines()]


@settings(max_examples=15, deadline=None)
@given(fleets(), st.sampled_from((80, 120)) | st.integers(64, 160))
def test_no_line_of_any_table_is_wider_than_its_terminal(hosts: tuple[str, ...], width: int) -> None:
    for name, show in tables(hosts).items():
        for line in on_terminal(show, width):
            # Then only a command, which is to be copied, goes on where the terminal breaks it
            command = name == "findings" and line.lstrip().startswith("fab ")
            assert command or width_of(line) <= width, (name, line)


@settings(max_examples=15, deadline=None)
@given(fleets(), st.sampled_from((80, 120)) | st.integers(72, 160))
def test_what_decides_stays_and_no_two_are_shown_as_the_same(hosts: tuple[str, ...], width: int) -> None:
    # Then each process has one line: its host, its state, what tells its release apart, what it should not be
    head, *rows = on_terminal(lambda stream: print_processes(processes(hosts), stream), width)
    assert len(rows) == 3 * len(hosts)
    assert len({row.split()[0] for row in rows[::3]}) == len(hosts)
    for first, second, third in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
        assert [" running " in first, " crash-looping " in second, " unknown " in third] == [True] * 3
        assert ["123456" in first, "113456" in second, "old release" in second] == [True] * 3
        assert [first.split()[1][-1], second.split()[0][-1], third.split()[0][-1]] == ["0", "1", "2"]
    assert " LAG" in head
    # And of a rollout each slot and partition, how it ended, and why in full
    shown = on_terminal(lambda stream: print_summary(evidence(hosts), stream), width)
    at = next(row for row, line in enumerate(shown) if line.startswith("SLOT"))
    ends = [line for line in shown[at:] if re.search(r" (ok|failed: .*)$", line)]
    assert len({" ".join(line.split()[:2]) for line in ends}) == len(ends) == 2 * len(hosts)
    whole = " ".join(" ".join(shown).split())
    assert "failed: the gate refused it: billing-consumer-big-1 is not a member" in whole
    assert "gate after batch 1: refused" in whole
    at = next(row for row, line in enumerate(shown) if line.startswith("PARTITION"))
    partitions = {line.split()[0] for line in shown[at + 1 : at + 9]}
    assert len(partitions) == 8
    assert all(re.search(r"-\d+$", one) for one in partitions)
    # And of releases and hosts the whole name of a release, its state and why it is bad
    whole = " ".join(" ".join(on_terminal(tables(hosts)["releases"], width)).split())
    assert (
        whole.count(f"{NEW} current") == whole.count(f"{OLD} bad") == whole.count("after it was started") == len(hosts)
    )


@settings(max_examples=10, deadline=None)
@given(fleets())
def test_what_goes_into_a_pipe_is_whole(hosts: tuple[str, ...]) -> None:
    # Given a pipe, also one that counts as a terminal, as in a pipeline that wants colours: it has no width
    for name, show in tables(hosts).items():
        for environ in ({"COLUMNS": "40"}, {"TTY_COMPATIBLE": "1"}):
            stream = io.StringIO()
            with mock.patch.dict("os.environ", environ):
                if "COLUMNS" not in environ:
                    os.environ.pop("COLUMNS", None)
                show(stream)
            whole(name, stream, hosts)


def whole(name: str, stream: io.StringIO, hosts: tuple[str, ...]) -> None:
    assert "…" not in stream.getvalue(), name
    if name not in ("history", "lag", "jobs", "letters"):
        assert all(host in stream.getvalue() for host in hosts), name


def test_no_command_of_a_finding_and_no_word_is_broken() -> None:
    for width in (40, 80, 120):
        lines = on_terminal(lambda stream: print_findings(findings(("h" * 40, "web1")), stream), width)
        assert {f"fab karafka.restart --hosts {host}" for host in ("h" * 40, "web1")} <= {
            line.strip() for line in lines
        }
        assert width < len(GROUP) or any(GROUP in line for line in lines)


def test_a_view_says_where_and_when_and_how_many_of_how_many_run(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given two hosts, and one process more that the settings do not have
    hosts = processes(("web1", "web2"))
    extra = ProcessReport("gone-0", State.RUNNING)
    hosts = (
        *hosts,
        HostRows("web3", (extra,), rows={"gone-0": Row("web3", extra, None, (), (), (Zombie.SUPERFLUOUS,))}),
    )
    # Then it is no part of those that are to run
    text = count_text(hosts)
    assert text == "2 of 6 running, 2 crash-looping, 2 unknown, 2 old release, 1 not in the settings"
    assert re.fullmatch(rf"production \d\d:\d\d:\d\d: {text}", headline("production", text))
    # And on a terminal that is too low those go that just run, and it is said how many
    from ops.render.console import console_of

    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "14")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    many = tuple(
        HostRows(f"web{number}", (ProcessReport("a", State.RUNNING), ProcessReport("b", State.DEAD)))
        for number in range(8)
    )
    stream = Terminal()
    console_of(stream).print(View("head", many))
    lines = re.sub(r"\x1b\[[\d;]*m", "", stream.getvalue()).splitlines()
    assert lines[:2] == ["head", "5 that run are not shown: the terminal is too low"]
    assert sum("dead" in line for line in lines) == 8
    assert len(lines) == 14
