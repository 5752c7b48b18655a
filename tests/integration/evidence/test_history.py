"""The history of rollouts on its host, through real agents."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core.errors import OpsError
from ops.core.evidence import Evidence, Outcome
from ops.core.history import KEPT, HistoryAction, HistoryCall
from ops.fleet.lease_host import LeaseHost
from ops.fleet.transport import Target
from ops.fleet.transport.local import LocalTransport
from ops.node.evidence import History

NOON = 1_800_000_000.0
EVIDENCE = Evidence("sources", "production", "rolling", "ann", 100, NOON, 9.0, Outcome.DONE, 0)


@pytest.fixture
def host(tmp_path: Path) -> LeaseHost:
    agent = (sys.executable, "-P", "-m", "ops.node")
    return LeaseHost(LocalTransport(), Target("h1", "h1"), agent, str(tmp_path / "shared"))


def store(evidence: Evidence, picture: str = "<svg/>") -> HistoryCall:
    return HistoryCall(HistoryAction.STORE, evidence.name, evidence.as_json(), picture)


def test_a_rollout_is_stored_listed_and_fetched_as_it_was(host: LeaseHost) -> None:
    # Given a host without any
    assert host.history(HistoryCall(HistoryAction.LIST)).names == ()
    assert host.history(HistoryCall(HistoryAction.FETCH)).message == "there is none yet"
    # When two rollouts are stored
    later = replace(EVIDENCE, number=101, outcome=Outcome.FAILED, holder="ben <ben@there>")
    host.history(store(EVIDENCE))
    assert host.history(store(later, "<svg>second</svg>")).names == (later.name, EVIDENCE.name)
    # Then the list has their summaries, the latest first
    listed = host.history(HistoryCall(HistoryAction.LIST))
    assert [one["outcome"] for one in listed.summaries] == ["failed", "done"]
    assert listed.summaries[0] == later.summary()
    # And each is there in full, the latest without a name
    fetched = host.history(HistoryCall(HistoryAction.FETCH))
    assert Evidence.from_json(fetched.evidence) == later
    assert fetched.picture == "<svg>second</svg>"
    assert Evidence.from_json(host.history(HistoryCall(HistoryAction.FETCH, EVIDENCE.name)).evidence) == EVIDENCE
    assert host.history(HistoryCall(HistoryAction.FETCH, "20300101T000000Z-1")).evidence is None


def test_the_last_twenty_are_kept_by_the_leases_number_whatever_the_clock_said(tmp_path: Path) -> None:
    # Given more rollouts than are kept, the clock being set back before the last ones
    history = History(tmp_path)
    for number in range(100, 130):
        started = NOON + number if number < 125 else NOON - 1e8 + number
        history.answer(store(replace(EVIDENCE, number=number, started_at=started)))
    # Then those with the highest numbers are there, with their pictures, and nothing else
    names = history.answer(HistoryCall(HistoryAction.LIST)).names
    assert [int(name.partition("-")[2]) for name in names] == list(range(129, 129 - KEPT, -1))
    files = sorted(path.name for path in (tmp_path / "rollouts").iterdir())
    assert files == sorted(f"{name}{suffix}" for name in names for suffix in (".json", ".svg"))


def test_files_of_others_are_neither_listed_nor_removed(tmp_path: Path) -> None:
    # Given a folder in which somebody keeps files
    (tmp_path / "rollouts").mkdir()
    (tmp_path / "rollouts" / "notes.json").write_text("{}")
    history = History(tmp_path)
    for number in range(KEPT + 1):
        history.answer(store(replace(EVIDENCE, number=number)))
    # Then they stay
    assert (tmp_path / "rollouts" / "notes.json").exists()
    assert len(history.answer(HistoryCall(HistoryAction.LIST)).names) == KEPT


def test_a_damaged_file_is_listed_by_its_name(tmp_path: Path) -> None:
    # Given a rollout's file that says nothing
    history = History(tmp_path)
    history.answer(store(EVIDENCE))
    (tmp_path / "rollouts" / f"{EVIDENCE.name}.json").write_text("{")
    # Then the list has it without a summary, and a fetch says so
    listed = history.answer(HistoryCall(HistoryAction.LIST))
    assert (listed.names, listed.summaries) == ((EVIDENCE.name,), ({},))
    assert "cannot be read" in history.answer(HistoryCall(HistoryAction.FETCH)).message


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "20270115T080000Z-1/x", "20270115T080000Z-", "x"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    # Given a name that leads elsewhere, then nothing is stored
    history = History(tmp_path)
    with pytest.raises(OpsError, match="under a name of its own"):
        history.answer(replace(store(EVIDENCE), name=name))
    assert not (tmp_path / "rollouts").exists()
    # And nothing is read by it
    if name:
        assert history.answer(HistoryCall(HistoryAction.FETCH, name)).evidence is None


def test_a_name_that_leads_out_of_the_folder_is_refused_by_the_agent(host: LeaseHost) -> None:
    # Given such a name, then nothing is stored, and nothing read
    with pytest.raises(OpsError, match="under a name of its own"):
        host.history(replace(store(EVIDENCE), name="../../etc/passwd"))
    assert not (Path(host.shared) / "rollouts").exists()
    assert host.history(HistoryCall(HistoryAction.FETCH, "../../etc/passwd")).evidence is None


def test_what_cannot_be_stored_is_said_and_harms_nothing(host: LeaseHost) -> None:
    # Given a host where rollouts/ is a file
    Path(host.shared).mkdir()
    (Path(host.shared) / "rollouts").write_text("")
    # Then the error names the place
    with pytest.raises(OpsError, match=re.escape(str(Path(host.shared) / "rollouts"))):
        host.history(store(EVIDENCE))
