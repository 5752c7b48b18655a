"""Deploys of consumers on a real broker: what does not fit is never published, what does not work goes back."""

from __future__ import annotations

import io
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
        assert "host1 restarted" in done.stderr
        assert relays.releases() == before
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
