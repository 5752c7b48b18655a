"""The resources of `sources` refreshed by background jobs: ticker, server, workers, remote system, database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.reference.database import open_engine
from ops.reference.lifecycle import Stage
from ops.reference.resources import Resources
from ops.reference.sources import background
from ops.reference.ticker import Ticker
from ops.sandbox.remote import RemoteServer
from tests.labs import sources_app
from tests.labs.brokers import SpareKafka
from tests.labs.topics import messages_by_key

pytestmark = pytest.mark.kafka

PATIENCE = 60.0
FROZEN = "frozen-0"


class Sources:
    """The app's processes with a database and resources of a test's own, on a broker that had others of them."""

    def __init__(self, bootstrap: str, directory: Path, remote: RemoteServer) -> None:
        self.directory, self.remote = directory, remote
        self.bootstrap = bootstrap
        url = f"sqlite:///{directory}/sources.db"
        self.environ = {
            "KARAFKA_BROKERS": bootstrap,
            "KARAFKA_APP": "ops.reference.sources:background",
            "SOURCES_DATABASE_URL": url,
            "SOURCES_REMOTE_URL": remote.url,
        }
        self.resources = Resources(open_engine(url))
        self.resources.create_table()
        self.processes: list[subprocess.Popen[bytes]] = []
        self._closed = Event()
        self._ticking = ThreadPoolExecutor(1)

    def start(self, name: str, *command: str, **environ: str) -> subprocess.Popen[bytes]:
        status = {"KARAFKA_STATUS_FILE": str(self.directory / f"{name}.json")}
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env={**os.environ, **self.environ, **status, **environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def worker(self, name: str, **environ: str) -> subprocess.Popen[bytes]:
        return self.start(name, "ops", "worker", **environ)

    def ready(self, name: str) -> None:
        path = self.directory / f"{name}.json"
        assert Deadline(PATIENCE).poll(lambda: path.exists() and '"running"' in path.read_text()), self.log(name)

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def tick(self, seconds: float, interval: float = 0.5) -> Future[int]:
        """Ask for all resources in each interval; gives how often it did, once the time is over."""
        ticker = Ticker(Brokers.at(self.bootstrap), self.resources, interval)
        return self._ticking.submit(ticker.run, self._closed, seconds)

    def read(self, topic: str, names: Collection[str]) -> dict[str, list[dict[str, Any]]]:
        """Return what a topic has of these resources."""
        found = messages_by_key(self.bootstrap, topic)
        return {name: found.get(name, []) for name in names}

    def close(self) -> None:
        self._closed.set()
        self._ticking.shutdown()
        sources_app.end(self.processes, self.bootstrap)
        self.resources.close()


@pytest.fixture
def sources(spare_kafka: SpareKafka, tmp_path: Path) -> Iterator[Sources]:
    spare_kafka.create_topics(dict.fromkeys((name for name in background.topic_names() if "." not in name), 2))
    with RemoteServer() as remote:
        made = Sources(spare_kafka.bootstrap, tmp_path, remote)
        yield made
        made.close()


@pytest.mark.parametrize(
    ("count", "interval", "outage", "slots"),
    [
        (8, 0.3, 0.0, ["w0"]),
        pytest.param(50, 5.0, 60.0, ["w0", "w1"], marks=[pytest.mark.soak, pytest.mark.timeout(400)]),
    ],
    ids=["short", "a-minute"],
)
def test_resources_stay_in_order_through_an_outage_of_all_workers(
    sources: Sources, count: int, interval: float, outage: float, slots: list[str]
) -> None:
    # Given resources that are refreshed again and again by all workers
    names = [f"outage-{count}-{number}" for number in range(count)]
    for name in names:
        sources.resources.put(name, {}, 0)
    sources.remote.change(delay_seconds=0.05)
    sources.start("server", "ops", "server")
    workers = [sources.worker(slot, KARAFKA_INSTANCE_ID=slot) for slot in slots]
    for name in ("server", *slots):
        sources.ready(name)
    ticker = sources.tick(outage + 12 * interval, interval)

    def refreshed(most: int) -> bool:
        rows = [sources.resources.get(name) for name in names]
        return all(row is not None and row.version >= most for row in rows)

    assert Deadline(PATIENCE).poll(lambda: refreshed(2), every=0.05)
    # When they are killed at work, which leaves a row running, and the ticker goes on
    running = Deadline(PATIENCE).poll(lambda: any(_stage(sources, name) == Stage.RUNNING for name in names), every=0.01)
    assert running
    for worker in workers:
        worker.kill()
        worker.wait(10)
    assert ticker.result(outage + 12 * interval + PATIENCE) > 2 * count
    before = [sources.resources.get(name) for name in names]
    for slot in slots:
        (sources.directory / f"{slot}.json").unlink(missing_ok=True)
        sources.worker(slot, KARAFKA_INSTANCE_ID=slot)
    sources.ready("w0")
    ready = time.monotonic()
    # Then the first job is done at once
    moved = Deadline(10).poll(lambda: before != [sources.resources.get(name) for name in names], every=0.02)
    assert moved, sources.log("w0")
    if outage:  # by itself: beside other tests a worker may wait that long for its turn on a core
        assert time.monotonic() - ready < 1.5
    # And every tick is answered, each resource's in order, and its versions only grow
    asked = {key: [one["sequence"] for one in some] for key, some in sources.read("sources_refresh", names).items()}

    def answered() -> bool:
        answers = sources.read("sources_refreshed", names)
        return all({one["sequence"] for one in answers[key]} == set(numbers) for key, numbers in asked.items())

    assert Deadline(PATIENCE).poll(answered, every=0.5), "".join(map(sources.log, slots))
    for key, some in sources.read("sources_refreshed", names).items():
        firsts = list(dict.fromkeys(one["sequence"] for one in some))
        assert firsts == asked[key], key
        versions = [one["version"] for one in some]
        assert versions == sorted(versions), key
    # And no row is left running
    assert {_stage(sources, name) for name in names} == {Stage.INITIAL}


def test_a_frozen_worker_that_wakes_up_writes_nothing(sources: Sources) -> None:
    # Given a worker that is frozen while it fetches, for longer than its session
    sources.resources.put(FROZEN, {}, 0)
    sources.remote.change(delay_seconds=2.0, content="older")
    sources.start("server", "ops", "server")
    frozen = sources.worker("frozen", KARAFKA_SESSION_TIMEOUT_SECONDS="3")
    sources.ready("server"), sources.ready("frozen")
    sources.tick(0.1)
    assert Deadline(PATIENCE).poll(lambda: _stage(sources, FROZEN) == Stage.RUNNING, every=0.01), sources.log("frozen")
    assert Deadline(PATIENCE).poll(lambda: FROZEN in sources.remote._resources, every=0.01)  # it has asked
    frozen.send_signal(signal.SIGSTOP)
    # When another one does its job
    sources.remote.change(delay_seconds=0.0, content="newer")
    sources.worker("other", KARAFKA_SESSION_TIMEOUT_SECONDS="3")
    assert Deadline(PATIENCE).poll(lambda: _content(sources) == "newer"), sources.log("other")
    # And it wakes up
    frozen.send_signal(signal.SIGCONT)
    # Then what it fetched is refused, said and counted
    assert Deadline(PATIENCE).poll(lambda: "refused" in sources.log("frozen")), sources.log("frozen")
    assert Deadline(PATIENCE).poll(lambda: _refused(sources, "frozen") == 1, every=0.2)
    row = sources.resources.get(FROZEN)
    assert row is not None
    assert (row.content, row.version, row.run, row.stage) == ("newer", 2, 2, Stage.INITIAL)


def _refused(sources: Sources, name: str) -> int:
    (group,) = json.loads((sources.directory / f"{name}.json").read_text())["groups"].values()
    return int(group["refused"])


def _stage(sources: Sources, name: str) -> Stage:
    row = sources.resources.get(name)
    assert row is not None
    return row.stage


def _content(sources: Sources) -> str | None:
    row = sources.resources.get(FROZEN)
    assert row is not None
    return row.content
