"""One fleet whose hosts have interpreters of their own: what the agents run on is none of the apps' matter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.identity import Identity
from ops.core.interpreters import NEWEST, OLDEST_ON_HOSTS
from ops.fleet.setup import remote
from ops.fleet.setup.opening import PLACES
from ops.fleet.setup.wheel import own_wheel
from ops.sandbox.census import end_all, guard
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.shared import SharedKafka
from tests.labs.parts import GIT, in_ci, needs
from tests.labs.relays import APP, Relays

PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"


def interpreters() -> list[remote.Python]:
    """Return the oldest, the distribution's own and the newest that this machine has and the agent runs on."""
    places = [*PLACES, f"{PYENV}/*/bin"]
    found = remote.interpreters({"oldest": OLDEST_ON_HOSTS, "newest": NEWEST, "places": places, "python": ""})
    system = remote.look(Path("/usr/bin/python3"))
    middle = system if system is not None and system.version[:2] >= OLDEST_ON_HOSTS else found[0]
    chosen = [found[-1], middle, found[0]]
    if in_ci() and PYENV.is_dir():
        assert chosen[0].version[:2] == OLDEST_ON_HOSTS, f"pyenv install {OLDEST_ON_HOSTS}"
        assert len({one.version for one in chosen}) == 3, chosen
    return chosen


@pytest.fixture
def pythons() -> list[remote.Python]:
    """An interpreter for each host."""
    return interpreters()


@pytest.fixture
def wheelhouse(tmp_path: Path, pythons: list[remote.Python]) -> Path:
    """The wheels that the hosts need, for the interpreter of each."""
    folder = tmp_path / "wheels"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:", "--dest", str(folder)]
    for version in {one.version[:2] for one in pythons}:
        own = ["--python-version", ".".join(map(str, version))]
        subprocess.run([*pip, *own, *own_wheel().requirements], check=True, capture_output=True, timeout=170)
    return folder


@pytest.fixture
def fleet(tmp_path: Path, run_owner: Identity) -> Iterator[LocalFleet]:
    """Three hosts."""
    made = LocalFleet(tmp_path / "fleet", 3)
    made.start()
    guard(made.directory, run_owner)
    yield made
    end_all(made.directory, timeout_seconds=5)


def repository(folder: Path) -> Path:
    """Make a git repository of one commit: a release of the relays."""
    folder.mkdir()
    (folder / "relay.py").write_text(APP.format(at_import="", at_message="pass"))
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "--all"], [*who, "commit", "-q", "-m", "second"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, timeout=30)
    return folder


@needs(GIT)
@pytest.mark.kafka
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_hosts_on_different_interpreters_are_one_fleet(
    tmp_path: Path, fleet: LocalFleet, kafka: SharedKafka, pythons: list[remote.Python], wheelhouse: Path
) -> None:
    # Given three hosts, for each of which the settings name an interpreter; the app runs by another one
    relays = Relays(tmp_path / "project", fleet, kafka, kafka.unique("interpreters"))
    names = [host.name for host in fleet.hosts]
    places = [
        {"host": one.name, "address": one.files.address, "port": one.files.port, "user": one.files.user,
         "deploy_to": str(relays.root(one.name)), "python": python.path}
        for one, python in zip(fleet.hosts, pythons, strict=True)
    ]  # fmt: skip
    relays.settings(
        rollout={"batch": 3, "canary": 0},
        agent_python=None,
        repo_url=str(repository(tmp_path / "source")),
        build=False,
        stages={"test": {"hosts": places}},
    )
    first = "20260101000000"
    relays.release(first)
    # When they are set up
    done = relays.fab("karafka.setup", "--wheelhouse", str(wheelhouse))
    # Then each has its own, and says so
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert shown == [f"{name}: set up, {python}" for name, python in zip(names, pythons, strict=True)]
    # And each agent runs on it
    check = relays.fab("deploy.check")
    assert check.returncode == 0, check.stdout + check.stderr
    for name, python in zip(names, pythons, strict=True):
        version = ".".join(map(str, python.version))
        assert any(name in line and f"fit: Python {version}," in line for line in check.stderr.splitlines()), check
    # And the doctor, who looks at the same, finds nothing wrong with them
    findings = json.loads(relays.fab("karafka.doctor", "--json").stdout)["findings"]
    assert not {"agent", "tool", "python"} & {one["kind"] for one in findings}
    # When the processes are started, restarted warm, get another release and go back
    before = relays.start()
    restarted = relays.fab("karafka.restart", "--json")
    assert restarted.returncode == 0, restarted.stderr
    processes = [one for host in json.loads(restarted.stdout)["hosts"] for one in host["processes"]]
    # Then replacements have taken over on all of them
    assert all("takeover" in one["timings"] for one in processes), processes
    assert not set(before.values()) & set(relays.pids().values())
    deployed = relays.fab("deploy")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    assert set(relays.releases().values()).isdisjoint({first})
    back = relays.fab("deploy.rollback")
    assert back.returncode == 0, back.stdout + back.stderr
    assert set(relays.releases().values()) == {first}
    # And all the time by the test's own interpreter
    for pid in relays.pids().values():
        assert Path(f"/proc/{pid}/exe").resolve() == Path(sys.executable).resolve()
    assert relays.fab("karafka.stop").returncode == 0
