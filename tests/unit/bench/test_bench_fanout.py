from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from bench import contenders, fanout
from bench.fleet import Project
from bench.measure import Cost
from bench.report import Report
from ops.fleet.agent_command import interpreter_of
from ops.fleet.transport.quoting import line_of
from ops.sandbox.host import LocalHost
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.service import HostFiles


def costs(**walls: float) -> dict[str, list[Cost]]:
    names = {
        "ours": contenders.OURS,
        "startup": contenders.STARTUP,
        "openssh": contenders.OPENSSH,
        "group": contenders.GROUP,
        "pyinfra": contenders.PYINFRA,
    }
    return {
        names[key]: [Cost(wall * 1.5, 0.9, 60_000_000, 0, ""), Cost(wall, 1.2, 50_000_000, 0, "")]
        for key, wall in walls.items()
    }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of three hosts that nobody started."""
    fleet = LocalFleet(tmp_path / "fleet", 3, "openssh")
    hosts = tuple(
        LocalHost(HostFiles(f"host{one}", f"127.1.2.{one}", 2222, "me", str(tmp_path / f"host{one}")), "openssh")
        for one in (1, 2, 3)
    )
    return Project.write(tmp_path / "project", hosts, fleet)


def test_the_quickest_round_is_held_against_the_bounds() -> None:
    # Given rounds whose quickest took 8 s where OpenSSH took 16 s, the group 10 s and pyinfra 9 s
    report = Report("fanout")
    # When they are judged
    fanout.judge(report, 100, costs(ours=8, startup=0.5, openssh=16, group=10, pyinfra=9))
    # Then each claim has what was measured, its bound and the verdict
    assert [(one["measured"], one["bound"], one["holds"]) for one in report.claims] == [
        (0.5, "<= 0.6", True),
        (0.8, "<= 0.8", True),
        (0.89, "<= 0.9", True),
        (0.0, "<= 8", True),
        (60.0, "<= 120", True),
    ]


def test_a_peer_that_is_missing_leaves_its_claim_open() -> None:
    # Given rounds without OpenSSH's client
    report = Report("fanout")
    # When they are judged
    fanout.judge(report, 100, costs(ours=8, startup=0.5, group=40, pyinfra=40))
    # Then that claim alone is open
    assert [one["holds"] for one in report.claims] == [None, True, True, True, True]


def test_without_any_host_every_claim_is_open() -> None:
    # Given no rounds at all
    report = Report("fanout")
    # When they are judged
    fanout.judge(report, 100, {})
    # Then nothing is claimed
    assert [one["holds"] for one in report.claims] == [None] * 5


def test_everybody_runs_the_agent_command_that_fab_runs(project: Project) -> None:
    # Given what fab's own plan asks the hosts
    assert len(project.actions) == 3
    command = contenders.command(project)
    assert command == f"{line_of(project.actions[0].agent)} < request.json"
    assert interpreter_of(project.actions[0].agent) == sys.executable
    # When the peers that are there are made
    made = [one for make in contenders.PEERS.values() if (one := make(project)) is not None]
    # Then each of them runs it, and has to find all six processes running
    assert contenders.GROUP in [one.name for one in made]
    for one in made:
        assert command in one.argv or json.dumps(command) in one.data.decode()
        assert one.times == 6


def test_openssh_gets_one_line_a_host_on_standard_input(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a machine with an ssh first on its PATH
    program = tmp_path / "bin" / "ssh"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    # When OpenSSH is made a contender
    contender = contenders.openssh(project)
    # Then xargs is told each host's address and port, sixteen at a time
    assert contender is not None
    assert contender.data.decode().splitlines() == [f"ssh://me@127.1.2.{one}:2222" for one in (1, 2, 3)]
    assert "-P16" in contender.argv
    assert str(program) in contender.argv
