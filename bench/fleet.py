"""The fleet of the fan-out bench: loopback hosts behind sshd with two running processes each, and their project."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import run
from ops.core.identity import Identity
from ops.core.protocol import Verb
from ops.core.section import load
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import HostAction, make_plan
from ops.sandbox.census import end_all, guard
from ops.sandbox.host import LocalHost
from ops.sandbox.hosts import LocalFleet

PROCESSES = 2
REQUEST = "request.json"  # in the home of each host, for those who can't send one
LIMIT_SECONDS = 300.0
_START_SECONDS = 120.0
_STOP_SECONDS = 5.0
FAB = str(Path(sys.executable).parent / "fab")


@dataclass(frozen=True)
class Project:
    """A user's project whose one stage has these hosts.

    Attributes
    ----------
    directory : fabfile.py and fabric.yaml.
    actions : what `fab karafka.status` asks each host, as its own plan has it.
    """

    directory: Path
    hosts: tuple[LocalHost, ...]
    key: Path
    known_hosts: Path
    actions: tuple[HostAction, ...]

    @classmethod
    def write(cls, directory: Path, hosts: tuple[LocalHost, ...], fleet: LocalFleet) -> Project:
        """Write the project's files."""
        stage = [
            {
                "host": one.name,
                "address": one.files.address,
                "port": one.files.port,
                "user": one.files.user,
                "deploy_to": str(one.files.deploy_to),
            }
            for one in hosts
        ]
        section = {
            "application": "bench",
            "deploy_to": "/nowhere",  # each host has its own
            "command": ["sleep", "3600"],
            "readiness": "alive",
            "processes": PROCESSES,
            "agent_python": sys.executable,
            "known_hosts": str(fleet.known_hosts),
            "stages": {"bench": {"hosts": stage}},
        }
        directory.mkdir()
        (directory / "fabfile.py").write_text("from ops.fleet.tasks import namespace as ns\n")
        settings = {"karafka": section, "connect_kwargs": {"key_filename": str(fleet.key)}}
        (directory / "fabric.yaml").write_text(json.dumps(settings, indent=1))  # JSON is YAML
        checked = load(section)
        plan = make_plan(checked, select(checked, Selection()), Verb.STATUS)
        return cls(directory, hosts, fleet.key, fleet.known_hosts, plan.actions)

    def fab(self, task: str) -> None:
        """Run one task on all hosts, whatever its exit code."""
        run([FAB, task], directory=self.directory, timeout_seconds=LIMIT_SECONDS)


@contextmanager
def running_fleet(directory: Path, counts: list[int]) -> Iterator[list[Project]]:
    """Start hosts and their processes; gives a project for each of the counts.

    Nothing of it is left at the end, not even when this process is killed.
    """
    fleet = LocalFleet(directory / "fleet", max(counts), "openssh")
    fleet.directory.mkdir(parents=True)
    owner = Identity.own()
    guard(fleet.directory, owner)
    try:
        fleet.start(_START_SECONDS)
        projects = [
            Project.write(directory / f"project-{count}", tuple(fleet.hosts[:count]), fleet) for count in counts
        ]
        largest = max(projects, key=lambda one: len(one.hosts))
        for host, action in zip(largest.hosts, largest.actions, strict=True):
            (host.files.deploy_to / "current").mkdir()
            (host.files.home / REQUEST).write_text(f"{action.request.encode()}\n")
        largest.fab("karafka.start")
        yield projects
        largest.fab("karafka.stop")
    finally:
        end_all(fleet.directory, _STOP_SECONDS)
