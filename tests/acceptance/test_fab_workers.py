"""Processes that perform background jobs, on the sandbox's fleet: started, seen, restarted and killed as all others."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import pytest
from invoke.vendor import yaml  # type: ignore[attr-defined]

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.reference.database import open_engine
from ops.reference.resources import Resources
from ops.sandbox.census import guard
from ops.sandbox.state import Status, read_state
from ops.sandbox.supervisord import LocalSupervisord
from tests.labs.in_process import FABFILE, fab
from tests.labs.topics import messages_by_key

BIN = Path(sys.executable).parent
PATIENCE = 90.0
APP = "ops.reference.sources:background"
JOBS = "sources.jobs"

pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]


class Workers:
    """The sandbox's application with refreshes as jobs: on some of its hosts one server and two workers each."""

    def __init__(self, sandbox: Status, folder: Path, hosts: int, **more: Any) -> None:
        settings = yaml.safe_load(Path(sandbox.config).read_text())
        karafka = settings["karafka"]
        stage = karafka["stages"][karafka["stage"]]
        stage["hosts"] = stage["hosts"][:hosts]
        karafka.update(app=APP, processes=1, workers=2, start_timeout_seconds=40, stop_timeout_seconds=15, **more)
        self.folder = folder
        (folder / "fabric.json").write_text(json.dumps(settings))
        (folder / "fabfile.py").write_text(FABFILE)
        (folder / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
        self.names = [f"{one['host']} worker-{index}" for one in stage["hosts"] for index in (0, 1)]
        self.env: dict[str, str] = read_state(sandbox.directory)["env"]
        self.read = partial(messages_by_key, self.env["KARAFKA_BROKERS"])
        self.resources = Resources(open_engine(self.env["SOURCES_DATABASE_URL"]))

    def run(self, *argv: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(BIN / argv[0]), *argv[1:]], cwd=self.folder, env={**os.environ, **self.env}, capture_output=True,
            text=True, timeout=170, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def fab(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        with mock.patch.dict(os.environ, self.env):
            return fab(self.folder, *arguments, code=code)

    def seen(self, code: int | None = None) -> dict[str, dict[str, Any]]:
        """Return what `karafka.status` says of the workers, by host and slot."""
        data = json.loads(self.fab("karafka.status", "--json", code=code).stdout)
        rows = {f"{host['host']} {one['name']}": one for host in data["hosts"] for one in host["processes"]}
        return {name: rows[name] for name in self.names}

    def settled(self) -> bool:
        """Whether the workers own all partitions of the jobs topic among them."""
        places = [place for one in self.seen().values() for place in one["places"] if place["group"] == JOBS]
        return len(places) == len(self.names) and sum(len(one["partitions"] or ()) for one in places) == 12

    @contextmanager
    def ticking(self, interval: float) -> Iterator[None]:
        """Send a refresh of every resource again and again meanwhile."""
        argv = [sys.executable, "-m", "ops.reference", "ticker", "--interval", str(interval)]
        ticker = subprocess.Popen(argv, env={**os.environ, **self.env}, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            ticker.send_signal(signal.SIGTERM)
            assert ticker.wait(30) == 0

    def answers(self, resources: list[str]) -> dict[str, list[int]]:
        """Return the sequence numbers that were answered, once every refresh that was asked for is."""
        asked = {key: [one["sequence"] for one in self.read("sources_refresh")[key]] for key in resources}

        def answered() -> dict[str, list[int]] | None:
            found = self.read("sources_refreshed")
            numbers = {key: [one["sequence"] for one in found[key]] for key in resources}
            return numbers if all(set(numbers[key]) == set(asked[key]) for key in resources) else None

        numbers = Deadline(PATIENCE).poll(answered, every=0.5)
        assert numbers is not None, self.seen()
        assert all(list(dict.fromkeys(numbers[key])) == asked[key] for key in resources)
        return numbers


class MakeWorkers(Protocol):
    """Makes fleets of workers with resources of their own, running; gives them with the resources' names."""

    def __call__(self, hosts: int, prefix: str, *before: str, **more: Any) -> tuple[Workers, list[str]]: ...


@pytest.fixture
def workers_of(sandbox: Status, tmp_path: Path) -> Iterator[MakeWorkers]:
    """Make fleets of workers with resources of their own, running: `workers_of(hosts, prefix, **settings)`."""
    made: list[Workers] = []
    own: list[str] = []

    def start(hosts: int, prefix: str, *before: str, **more: Any) -> tuple[Workers, list[str]]:
        workers = Workers(sandbox, tmp_path, hosts, **more)
        made.append(workers)
        workers.resources.create_table()
        names = [f"{prefix}{number}" for number in range(20)]
        own.extend(names)
        for name in names:
            workers.resources.put(name, {}, 0)
        for task in before:
            workers.fab(task)
        workers.fab("karafka.start")
        assert Deadline(PATIENCE).poll(workers.settled, every=0.2), workers.seen()
        return workers, names

    yield start
    for workers in made:
        for name in own:
            workers.resources.remove(name)
        workers.resources.close()
        workers.fab("karafka.stop")


def test_workers_of_a_fleet_are_seen_restarted_warm_and_healed(workers_of: MakeWorkers) -> None:
    # Given a server and two workers, under load
    workers, names = workers_of(1, "warm")
    before = workers.seen()
    with workers.ticking(0.2):
        moved = Deadline(PATIENCE).poll(lambda: all(workers.resources.get(name).version for name in names), every=0.1)
        assert moved
        # When the fleet is restarted
        done = workers.fab("karafka.restart", "--json")
    # Then each worker was taken over warm, under the gates of its group, and nobody rebalanced
    evidence = json.loads(done.stdout)["evidence"]
    assert evidence["summary"]["rebalances"] == 0
    slots = {f"{one['host']} {one['process']}": one for one in evidence["slots"]}
    assert [(slots[name]["ok"], slots[name]["warm"]) for name in workers.names] == [(True, True)] * 2
    assert f"preflight passed: sources, {JOBS}" in done.stderr
    after = workers.seen(code=0)
    assert all(after[name]["pid"] != before[name]["pid"] for name in workers.names)
    # And every refresh was answered exactly once, each resource's in order
    numbers = workers.answers(names)
    assert all(len(some) == len(set(some)) for some in numbers.values())

    # And lag of jobs is known, and the queue soon empty, whoever else's resources were refreshed
    def lag() -> list[tuple[str, int | None]]:
        groups = json.loads(workers.fab("karafka.lag", "--group", JOBS, "--json").stdout)["groups"]
        return [(one["group"], one["lag"]) for one in groups]

    assert Deadline(PATIENCE).poll(lambda: lag() == [(JOBS, 0)], every=0.5), lag()
    assert json.loads(workers.run("inv", "jobs.show", "--app", APP, "--json").stdout)["jobs"] == 0

    # When a worker is killed
    victim = workers.names[1]
    os.kill(after[victim]["pid"], signal.SIGKILL)
    # Then status says so, and a start mends it
    assert workers.seen()[victim]["state"] == "dead"
    workers.fab("karafka.start")
    assert Deadline(PATIENCE).poll(workers.settled, every=0.2), workers.seen()


@pytest.fixture
def server(tmp_path: Path, run_owner: Identity) -> Iterator[LocalSupervisord]:
    with LocalSupervisord(tmp_path / "supervisord") as running:
        guard(running.folder, run_owner)
        yield running


def test_workers_under_supervisor_are_programs_of_their_own(server: LocalSupervisord, workers_of: MakeWorkers) -> None:
    # Given a host whose processes supervisord keeps, under load
    supervisor = {"socket": server.socket, "conf_d": str(server.conf_d)}
    workers, names = workers_of(1, "kept", "karafka.install", manager="supervisor", supervisor=supervisor)
    conf = (server.conf_d / "karafka-sources.conf").read_text()
    assert [name for name in ("worker-0", "worker-1") if f"[program:karafka-sources@{name}]" in conf] == [
        "worker-0",
        "worker-1",
    ]
    # And nothing that the sandbox installs is outside of its folder
    assert not Path("/etc/logrotate.d/karafka-sources").exists()
    before = workers.seen()
    with workers.ticking(0.2):
        # When they are restarted
        done = workers.fab("karafka.restart", "--json")
    # Then each is another process, and nobody rebalanced
    assert json.loads(done.stdout)["evidence"]["summary"]["rebalances"] == 0
    after = workers.seen(code=0)
    assert all(after[name]["pid"] != before[name]["pid"] for name in workers.names)
    # And every refresh was answered, each resource's in order
    workers.answers(names)
