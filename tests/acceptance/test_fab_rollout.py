"""`fab karafka.restart` with its preflight and gates, on the sandbox's fleet and its own Kafka."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.state import Status, read_state, write_state
from tests.labs import in_process

pytestmark = [pytest.mark.soak, pytest.mark.timeout(300)]

PROJECT = Path(__file__).parents[2]


def fab(sandbox: Status, *arguments: str) -> subprocess.CompletedProcess[str]:
    return in_process.fab(PROJECT, *arguments, config=str(sandbox.config), code=None)


def processes(sandbox: Status) -> list[dict[str, Any]]:
    done = fab(sandbox, "karafka.status", "--json")
    return [one for host in json.loads(done.stdout)["hosts"] for one in host["processes"]]


def generations(some: list[dict[str, Any]]) -> set[int]:
    """Return the generations that processes say the group is of: several while members still come."""
    return {one["consumer"]["groups"]["sources"]["generation"] for one in some}


@pytest.fixture(scope="module")
def started(sandbox: Status) -> Iterator[Status]:
    done = fab(sandbox, "karafka.start")
    assert done.returncode == 0, done.stderr
    assert Deadline(60).poll(lambda: len(generations(processes(sandbox))) == 1, every=0.5)
    yield sandbox
    assert fab(sandbox, "karafka.stop").returncode == 0


def test_a_healthy_restart_passes_a_gate_after_each_host_and_keeps_the_generation(started: Status) -> None:
    # Given a fleet that runs
    before = processes(started)
    # When it is restarted
    done = fab(started, "karafka.restart")
    # Then the preflight and the gate after each of the three hosts passed, and nobody rebalanced
    assert done.returncode == 0, done.stderr
    assert "preflight passed: sources" in done.stderr
    assert [f"the gate after batch {number} passed" in done.stderr for number in (1, 2, 3)] == [True] * 3
    after = processes(started)
    assert not {one["pid"] for one in before} & {one["pid"] for one in after}
    assert generations(before) == generations(after)


def test_a_preflight_without_brokers_refuses_and_touches_nothing(started: Status) -> None:
    # Given a fleet that runs, whose broker is down
    before = {one["pid"] for one in processes(started)}
    broker = EmbeddedKafka.load(read_state(started.directory)["kafka"])
    broker.stop()
    try:
        # When it is restarted
        done = fab(started, "karafka.restart")
    finally:
        broker.start()
        write_state(started.directory, {**read_state(started.directory), "kafka": broker.record()})
    # Then it is refused with the reason, and every process is the one it was
    assert done.returncode == 11, done.stderr
    assert "the preflight: unknown" in done.stderr
    assert done.stdout.count("not attempted: the preflight") == 1
    assert {one["pid"] for one in processes(started)} == before
