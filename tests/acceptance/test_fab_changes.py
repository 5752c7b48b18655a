"""What a restart changes beside the processes: topics that a release adds, slots that the settings do not have."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ops.core.brokers import Brokers
from ops.core.cluster import STABLE, Group
from ops.kafka.connection import Cluster
from ops.kafka.groups import observe
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.shared import SharedKafka
from tests.labs.in_process import FABFILE, fab
from tests.labs.ssh_fleet import MakeHosts

APP = """
import os
from ops.consumer import App, Controller

class ReadController(Controller):
    def perform(self):
        pass

name = os.environ["APP_NAME"]
app = App(name)
for topic in open("topics").read().split():
    app.topic(topic, controller=ReadController, start_from_beginning=True)
"""
PARTITIONS = 8


class Project:
    """Two hosts with two processes each, and releases that read what a file says."""

    def __init__(self, folder: Path, fleet: LocalFleet, kafka: SharedKafka) -> None:
        self.folder = folder
        self.fleet = fleet
        self.name = kafka.unique("changes")
        self.bootstrap = kafka.bootstrap
        self.old, self.new = f"{self.name}-old", f"{self.name}-new"
        kafka.create_topics({self.old: PARTITIONS, self.new: PARTITIONS})
        (folder / "fabfile.py").write_text(FABFILE)
        self.write(processes=2)
        self.release("1", self.old)

    def release(self, name: str, *topics: str) -> None:
        """Make a release and point every host's `current` to it."""
        for host in self.fleet.hosts:
            folder = host.files.deploy_to / "releases" / name
            folder.mkdir(parents=True)
            (folder / "read_app.py").write_text(APP)
            (folder / "topics").write_text(" ".join(topics))
            link = host.files.deploy_to / "current"
            link.unlink(missing_ok=True)
            link.symlink_to(folder)

    def write(self, **more: object) -> None:
        """Write the settings."""
        hosts = [
            {
                "host": host.name,
                "address": host.files.address,
                "port": host.files.port,
                "user": host.files.user,
                "deploy_to": str(host.files.deploy_to),
            }
            for host in self.fleet.hosts
        ]
        karafka = {
            "application": self.name,
            "deploy_to": "/nowhere",
            "command": [sys.executable, "-m", "ops", "server"],
            "app": "read_app:app",
            "env": {"APP_NAME": self.name, "PYTHONPATH": "."},
            "agent_python": sys.executable,
            "known_hosts": str(self.fleet.known_hosts),
            "kafka": {"brokers": [self.bootstrap]},
            "start_timeout_seconds": 40,
            "rollout": {"settle_seconds": 0, "batch": "100%", "canary": 1, "gate_timeout_seconds": 40},
            "stages": {"test": {"hosts": hosts}},
            **more,
        }
        fabric = {"load_ssh_configs": False, "connect_kwargs": {"look_for_keys": False, "allow_agent": False}}
        (self.folder / "fabric.json").write_text(json.dumps({**fabric, "karafka": karafka}))

    def fab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run fab."""
        done = fab(self.folder, "-i", str(self.fleet.key), *arguments, code=None)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def group(self) -> Group:
        """Ask the brokers for the group."""
        with Cluster(Brokers.at(self.bootstrap)) as cluster:
            return observe(cluster, [self.name])[0]


@pytest.fixture
def project(tmp_path: Path, ssh_hosts: MakeHosts, kafka: SharedKafka) -> Iterator[Project]:
    folder = tmp_path / "project"
    folder.mkdir()
    made = Project(folder, ssh_hosts(2), kafka)
    started = made.fab("karafka.start")
    assert started.returncode == 0, started.stderr
    yield made
    assert made.fab("karafka.stop").returncode == 0


def evidence_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(done.stdout)["evidence"]
    return found


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_a_release_that_adds_a_topic_is_rolled_with_one_planned_rebalance(project: Project) -> None:
    # Given four processes that read one topic, and a release that reads another one, too
    assert {one.topic for one in project.group().owners} == {project.old}
    project.release("2", project.old, project.new)
    # When it is rolled out
    done = project.fab("karafka.restart", "--json")
    # Then the plan says that there is one rebalance, and at which process
    assert done.returncode == 0, done.stderr
    said = f"group {project.name}: +{project.new}; a planned rebalance at host2 karafka-1"
    assert said in done.stderr
    # And every partition of both topics has its owner
    group = project.group()
    assert group.state == STABLE
    assert len(group.owners) == 2 * PARTITIONS
    # And the evidence has it as planned
    evidence = evidence_of(done)
    assert said in evidence["notes"]
    assert [(one["name"], one["planned"]) for one in evidence["groups"]] == [(project.name, 1)]
    assert evidence["summary"]["rebalances"] == 1
    # When the release before is rolled out again, every process leaves once, and nobody owns the topic that is gone
    for host in project.fleet.hosts:
        link = host.files.deploy_to / "current"
        link.unlink()
        link.symlink_to(host.files.deploy_to / "releases" / "1")
    back = project.fab("karafka.restart", "--json")
    assert back.returncode == 0, back.stderr
    assert {one.topic for one in project.group().owners} == {project.old}
    assert [one["planned"] for one in evidence_of(back)["groups"]] == [4]


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_fewer_processes_leave_their_groups_and_no_partition_waits_for_a_session(project: Project) -> None:
    # Given settings with one process a host where there were two
    assert len(project.group().members) == 4
    project.write(processes=1)
    began = time.monotonic()
    # Then status shows the others as what they are
    shown = project.fab("karafka.status")
    assert shown.returncode == 1, shown.stderr
    assert shown.stdout.count("the settings have no such slot") == 2
    assert "not in the settings" in shown.stdout
    # When the fleet is restarted
    done = project.fab("karafka.restart", "--json")
    # Then the others were stopped first, and left the group at once
    assert done.returncode == 0, done.stderr
    steps = [line for line in done.stderr.splitlines() if "karafka-1" in line or "karafka-0: spawned" in line]
    stopped = [index for index, line in enumerate(steps) if "karafka-1: stopped" in line]
    assert len(stopped) == 2
    assert max(stopped) < next(index for index, line in enumerate(steps) if "spawned" in line)
    assert "the gate after scaling down passed" in done.stderr
    group = project.group()
    assert sorted(one.instance_id or "" for one in group.members) == [
        f"{project.name}.host{number}.karafka.0" for number in (1, 2)
    ]
    assert len(group.owners) == PARTITIONS
    assert time.monotonic() - began < 60  # a session
    # And the evidence says why there were rebalances
    evidence = evidence_of(done)
    assert any("the settings have no such slot" in note for note in evidence["notes"])
    # And its picture can be had
    picture = project.folder / "last.svg"
    done = project.fab("karafka.history", "--rollout", "last", "--picture", str(picture))
    assert f"picture: {picture}\n" in done.stderr
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


@pytest.mark.timeout(300)
def test_a_stop_also_stops_slots_that_the_settings_do_not_have(project: Project) -> None:
    # Given settings with one process a host where there were two
    project.write(processes=1)
    # When the fleet is stopped
    done = project.fab("karafka.stop")
    # Then nothing of it runs any more
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("stopped") == 4
    project.write(processes=2)
    states = json.loads(project.fab("karafka.status", "--json").stdout)
    assert {one["state"] for host in states["hosts"] for one in host["processes"]} == {"stopped"}
