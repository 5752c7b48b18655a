"""Plain processes given to systemd under traffic, and back, by their deploying user."""

from __future__ import annotations

import json

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.nspawn import USER, SystemdHost
from tests.labs.unit_relays import MakeUnitRelays

pytestmark = [pytest.mark.kafka, pytest.mark.soak]

PATIENCE = 60.0


def test_a_migration_under_traffic_loses_and_repeats_nothing_and_moves_no_partition(
    relays_of: MakeUnitRelays, systemd_host: SystemdHost
) -> None:
    # Given plain processes under traffic, of a user who may use sudo, on a host without their units
    place = {"host": "h1", "address": systemd_host.address, "user": USER}
    relays = relays_of(2, systemd={"sudo": True}, stages={"test": {"hosts": [place]}})
    unit = f"/etc/systemd/system/{relays.application.kept.template}"
    systemd_host.run("rm", unit)
    systemd_host.run("systemctl", "daemon-reload")
    systemd_host.write("/etc/sudoers.d/all", f"{USER} ALL=(root) NOPASSWD: ALL\n", mode=0o440)
    settings = json.loads((relays.folder / "fabric.json").read_text())
    settings["karafka"]["manager"] = "pidfile"
    (relays.folder / "fabric.json").write_text(json.dumps(settings))
    done = relays.fab("karafka.start")
    assert done.returncode == 0, done.stderr
    generation = relays.until_settled()
    plain = [relays.status(index).pid for index in range(2)]
    with relays.traffic():
        assert Deadline(PATIENCE).poll(lambda: relays.group(1).get("processed", 0) > 20, every=0.1)
        # When they are given to systemd, and back again
        there = relays.fab("karafka.migrate", "systemd", "--json")
        assert there.returncode == 0, there.stdout + there.stderr
        kept = [relays.status(index).pid for index in range(2)]
        assert [int(relays.application.show("MainPID", index)) for index in range(2)] == kept
        assert set(kept).isdisjoint(plain)
        back = relays.fab("karafka.migrate", "pidfile")
        assert back.returncode == 0, back.stdout + back.stderr
        assert [relays.application.show("MainPID", index) for index in range(2)] == ["0", "0"]
    # Then nothing was lost or repeated, no partition moved, and each step is in the evidence
    tally = relays.tally()
    assert tally.exact, str(tally)
    assert relays.until_settled() == generation
    evidence = json.loads(there.stdout)["evidence"]
    assert evidence["outcome"] == "done", evidence
    # And the units that it had put there are gone with them
    assert systemd_host.run("test", "-e", unit, check=False).returncode == 1
    systemd_host.run("rm", "/etc/sudoers.d/all")
    assert relays.fab("karafka.stop").returncode == 0
