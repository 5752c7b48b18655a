"""What counts as a restart after a death, and for how long."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core import deaths
from ops.core.deaths import Deaths
from ops.core.identity import Identity
from ops.core.pidfile import PidRecord

GONE = replace(Identity.own(), start=1)


def test_only_the_death_of_a_process_of_this_boot_counts(tmp_path: Path) -> None:
    # Given pidfiles: none, another tool's, another boot's, a living process's
    path = tmp_path / "karafka-0.deaths"
    alive, other = Identity.own(), replace(GONE, boot="another")
    for left in (None, PidRecord(7), PidRecord(7, other), PidRecord(alive.pid, alive)):
        deaths.note(path, left, by_itself=True)
    # Then none of them tells of a death
    assert not path.exists()
    # And one that is gone does; what an agent did itself is in its own count already
    deaths.note(path, PidRecord(GONE.pid, GONE), by_itself=True)
    deaths.note(path, PidRecord(GONE.pid, GONE), by_itself=False)
    found = Deaths.read(path)
    assert (found.recent(), found.restarts) == (2, 1)


def test_deaths_age_and_their_file_does_not_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given many deaths
    path = tmp_path / "karafka-0.deaths"
    for _ in range(50):
        deaths.note(path, PidRecord(GONE.pid, GONE), by_itself=True)
    found = Deaths.read(path)
    # Then the last ones are kept, and the number of all
    assert (len(found.times), found.restarts) == (20, 50)
    # And after the window none is recent
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(time, "clock_gettime", lambda _clock: now + deaths.WINDOW_SECONDS + 1)
    assert found.recent() == 0


def test_a_new_boot_and_an_operators_restart_begin_anew(tmp_path: Path) -> None:
    # Given deaths
    path = tmp_path / "karafka-0.deaths"
    for _ in range(3):
        deaths.note(path, PidRecord(GONE.pid, GONE), by_itself=True)
    before = path.read_text()
    # When an operator restarts the slot, then the count is empty and the number of all stays
    deaths.forget(path)
    assert (Deaths.read(path).recent(), Deaths.read(path).restarts) == (0, 3)
    # And the times of another boot mean nothing
    path.write_text(before.replace(GONE.boot, "another"))
    assert (Deaths.read(path).recent(), Deaths.read(path).restarts) == (0, 3)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"boot": 1, "times": 2, "restarts": 3}', "[" * 10_000])
def test_an_unreadable_file_tells_of_none(tmp_path: Path, text: str) -> None:
    # Given a file that nobody can make sense of, then a start goes on, and the count begins anew
    path = tmp_path / "karafka-0.deaths"
    path.write_text(text)
    assert Deaths.read(path).recent() == 0
    deaths.note(path, PidRecord(GONE.pid, GONE), by_itself=True)
    assert Deaths.read(path).recent() == 1
