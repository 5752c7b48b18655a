"""The main promise: a fleet is restarted under load over SSH, and no message is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from ops.core.brokers import Brokers
from ops.reference.tally import count
from ops.reference.traffic import Traffic
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.state import Status, read_state, write_state

PROJECT = Path(__file__).parents[2]
FAB = Path(sys.executable).parent / "fab"
RATE = 300
FAB_SECONDS = 240.0
TRAFFIC_SECONDS = 2 * FAB_SECONDS  # it ends with the restart, which a machine without a free CPU may draw out
pytestmark = [pytest.mark.soak, pytest.mark.timeout(400)]


def fab(sandbox: Status, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [FAB, "-f", sandbox.config, *arguments], cwd=PROJECT, capture_output=True, text=True, timeout=FAB_SECONDS,
        check=False,
    )  # fmt: skip


def processes(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, Any]]:
    return {
        f"{host['host']} {one['name']}": one for host in json.loads(done.stdout)["hosts"] for one in host["processes"]
    }


def generations(done: subprocess.CompletedProcess[str]) -> set[int]:
    return {one["consumer"]["groups"]["sources"]["generation"] for one in processes(done).values()}


@pytest.fixture(scope="module")
def started(sandbox: Status) -> Iterator[Status]:
    done = fab(sandbox, "karafka.start")
    assert done.returncode == 0, done.stderr
    yield sandbox
    assert fab(sandbox, "karafka.stop").returncode == 0


@pytest.mark.parametrize("strategy", ["rolling", "all"])
def test_a_restart_under_load_loses_and_repeats_nothing(
    started: Status, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given six processes on three hosts, and 300 numbered messages a second
    brokers, stop = Brokers.at(started.bootstrap), Event()
    monkeypatch.setenv("FABRIC_KARAFKA_ROLLOUT_STRATEGY", strategy)
    before = fab(started, "karafka.status", "--json")
    with ThreadPoolExecutor(1) as pool:
        traffic = pool.submit(Traffic(brokers, "repositories_updated").run, RATE, TRAFFIC_SECONDS, stop)
        # When the fleet is restarted in the middle of it
        try:
            restarted = fab(started, "karafka.restart", "--json")
        finally:
            stop.set()
        sent = traffic.result(timeout=60)
    # Then it is done, every process a new one
    assert restarted.returncode == 0, restarted.stderr
    after = fab(started, "karafka.status", "--json")
    pids = [{one["pid"] for one in processes(done).values()} for done in (before, after)]
    assert len(pids[1]) == 6
    assert not pids[0] & pids[1]
    # And the traffic did not end before it
    assert sent.asked < RATE * TRAFFIC_SECONDS
    # And every message was answered exactly once
    tally = count(brokers, "repositories_updated", ["sources_updated"], streams=[sent.stream])
    assert tally.sent == sent.count > RATE
    assert not tally.lost, str(tally)
    assert not tally.repeated, str(tally)
    # And with static members one after the other the group never rebalanced
    if strategy == "rolling":
        assert generations(before) == generations(after)


@pytest.mark.timeout(600)
def test_five_deploys_in_a_row_under_load_lose_and_repeat_nothing(started: Status, tmp_path: Path) -> None:
    # Given six processes that can hand over warm, 300 numbered messages a second, and an artifact
    brokers, stop = Brokers.at(started.bootstrap), Event()
    (tmp_path / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    artifact = tmp_path / "app.tar.gz"
    with tarfile.open(artifact, "w:gz") as archive:
        archive.add(tmp_path / "tasks.py", "tasks.py")
    warm = []
    with ThreadPoolExecutor(1) as pool:
        traffic = pool.submit(Traffic(brokers, "repositories_updated").run, RATE, TRAFFIC_SECONDS, stop)
        # When it is deployed five times in a row
        try:
            for _ in range(5):
                done = fab(started, "deploy", "--artifact", str(artifact))
                assert done.returncode == 0, done.stderr
                assert "is current on 3 hosts, restarted" in done.stdout
                warm.append(done.stderr.count(", to replace process "))
        finally:
            stop.set()
        sent = traffic.result(timeout=60)
    # Then each time every process was replaced by a warm one
    assert min(warm) >= 6, warm
    # And all run the last one of the releases that are kept
    roots = [started.directory / f"hosts/host{number}/app" for number in (1, 2, 3)]
    kept = [sorted(path.name for path in (root / "releases").iterdir()) for root in roots]
    running = {one["release"] for one in processes(fab(started, "karafka.status", "--json")).values()}
    assert running == {names[-1] for names in kept}
    assert {len(names) for names in kept} == {5}
    # And every message was answered exactly once
    tally = count(brokers, "repositories_updated", ["sources_updated"], streams=[sent.stream])
    assert tally.sent == sent.count > RATE
    assert not tally.lost, str(tally)
    assert not tally.repeated, str(tally)


def test_a_broker_that_is_gone_for_a_while_costs_no_message(started: Status) -> None:
    # Given numbered messages that the fleet has taken up
    brokers = Brokers.at(started.bootstrap)
    first = Traffic(brokers, "repositories_updated").run(RATE, 2.0)
    # When the broker is stopped and comes back
    broker = EmbeddedKafka.load(read_state(started.directory)["kafka"])
    broker.restart()
    write_state(started.directory, {**read_state(started.directory), "kafka": broker.record()})  # whoever stops it next
    # Then the fleet goes on by itself, and answers what came before and after
    second = Traffic(brokers, "repositories_updated").run(RATE, 2.0)
    tally = count(
        brokers, "repositories_updated", ["sources_updated"], streams=[first.stream, second.stream], timeout_seconds=60
    )
    assert tally.sent == first.count + second.count
    assert not tally.lost, str(tally)
    assert fab(started, "karafka.status").returncode == 0
