"""Deploys of consumers on a real broker: what does not fit is never published, what does not work goes back."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from ops.sandbox.shared import SharedKafka
from tests.labs.relays import APP, MakeRelays, Relays

pytestmark = pytest.mark.timeout(400)

MORE_TOPICS = """
app.topic(f"{NAME}-more", controller=RelayController, responder=RelayResponder)
"""
NEVER_COMMITS = "time.sleep(600)"


@pytest.fixture(scope="module")
def relays(relays_of: MakeRelays, kafka: SharedKafka) -> Relays:
    """Two hosts with one process each."""
    made = relays_of(kafka, kafka.unique("relay"))
    made.start()
    return made


def artifact(relays: Relays, name: str, text: str) -> Path:
    """Pack a release with this app."""
    path: Path = relays.folder / f"{name}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("relay.py")
        entry.size = len(text.encode())
        archive.addfile(entry, io.BytesIO(text.encode()))
    return path


def test_releases_that_do_not_fit_or_do_not_work_never_stay(relays: Relays) -> None:
    # Given a fleet that works, under traffic
    before = relays.releases()
    relays.settings({"gate_timeout_seconds": 6}, build=False, auto_rollback=True)
    fine = APP.format(at_import="", at_message="pass")
    with relays.traffic(10) as sent:
        # When a release is deployed that reads a topic which the cluster does not have
        done = relays.fab("deploy", "--artifact", str(artifact(relays, "more", fine + MORE_TOPICS)))
        # Then it is named, and current does not move
        assert done.returncode == 1, done.stderr
        assert f"{relays.name}-more" in done.stderr
        assert "current was not touched" in done.stderr
        assert relays.releases() == before
        # When a release is deployed that joins and never commits
        bad = APP.format(at_import="", at_message=NEVER_COMMITS)
        done = relays.fab("deploy", "--artifact", str(artifact(relays, "bad", bad)))
        # Then the gate refuses it, and everything runs the release before, of which no host was left out
        assert done.returncode == 12, done.stderr
        assert "does not advance" in done.stderr
        assert "rolled back from" in done.stderr
        assert "host1 karafka-0 restarted; it is marked bad" in done.stderr
        assert relays.releases() == before
        # When it is deployed by settings that leave it to the operator, and rolled back by hand
        relays.settings({"gate_timeout_seconds": 6}, build=False)
        pids = relays.pids()
        assert relays.fab("deploy", "--artifact", str(artifact(relays, "bad", bad))).returncode == 11
        canary = relays.pids()
        done = relays.fab("deploy.rollback")
        # Then only the process that had come to it goes back; the other one keeps its pid, and its partitions
        assert done.returncode == 0, done.stderr
        assert "rolled back, host1 karafka-0 restarted, 1 already on it" in done.stdout
        back = relays.pids()
        assert back["host1 karafka-0"] not in {pids["host1 karafka-0"], canary["host1 karafka-0"]}
        assert back["host2 karafka-0"] == canary["host2 karafka-0"] == pids["host2 karafka-0"]
        assert relays.releases() == before
        last = json.loads(relays.fab("karafka.history", "--rollout", "last", "--json").stdout)
        assert last["summary"]["rebalances"] == 0
        assert [(one["process"], one["kept"]) for one in last["slots"] if one["host"] == "host2"] == [
            ("karafka-0", True)
        ]
        still = [one for one in last["partitions"] if one["slot"] == "host2 karafka-0"]
        assert still
        assert all(stall["seconds"] < 2 for one in still for stall in one["stalls"])
        # When a good one is deployed
        done = relays.fab("deploy", "--artifact", str(artifact(relays, "good", fine)))
        # Then it stays
        assert done.returncode == 0, done.stderr
        assert len(set(relays.releases().values())) == 1
        assert relays.releases() != before
    # And no message was lost or repeated by any of it
    tally = relays.tally(sent)
    assert tally.sent > 0
    assert tally.exact, str(tally)
