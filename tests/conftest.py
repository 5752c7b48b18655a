"""The real parts that tests share: one broker a run, brokers and SSH hosts of a test's own."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.core.identity import Identity
from ops.sandbox.census import end_all, guard
from ops.sandbox.hosts import LocalFleet, ServerKind
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.nspawn import SystemdHost, missing
from ops.sandbox.openssh import find_sshd
from ops.sandbox.sandbox import Status, down, up
from ops.sandbox.shared import SharedKafka, shared_kafka


def pytest_configure(config: pytest.Config) -> None:
    """Let kafka-python 3.0.12 read its own schemas the way Python 3.11 and 3.12 warn of."""
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    for name in (
        "GITHUB_ACTIONS",
        "GITHUB_STEP_SUMMARY",
        "GITLAB_CI",
    ):  # tests are no news of the pipeline they run in
        os.environ.pop(name, None)


COSTLY = ("sandbox", "relays", "systemd_host", "yard")
"""Fixtures that cost a broker or a fleet in every worker that wants one: their tests stay together."""


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep those that share a costly fixture in one worker: a sandbox is one for all, the others are a module's own."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        for name in COSTLY:
            if name in names:
                group = name if name in ("sandbox", "systemd_host") else f"{name} of {item.path.stem}"
                item.add_marker(pytest.mark.xdist_group(group))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse to run where pytest-xdist did not take the groups up: fleets side by side starve each other."""
    if "PYTEST_XDIST_WORKER" not in os.environ or not session.config.getoption("loadgroup", False):
        return
    apart = [one.nodeid for one in session.items if one.get_closest_marker("xdist_group") and "@" not in one.nodeid]
    if apart:
        raise pytest.UsageError(f"pytest-xdist keeps tests that share a fleet apart, {apart[0]} for one: see pyproject")


@pytest.fixture(scope="session")
def run_owner() -> Identity:
    """The process that the whole run ends with: pytest itself, also where this is a worker of pytest-xdist."""
    identity = Identity.of(os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid())
    assert identity is not None
    return identity


@pytest.fixture(scope="session")
def run_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this run, the same for all its workers."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def kafka(run_directory: Path, run_owner: Identity) -> Iterator[SharedKafka]:
    """The broker of this run; nobody stops it."""
    with shared_kafka(run_directory / "kafka", run_owner) as broker:
        yield broker


@pytest.fixture
def own_kafka(tmp_path: Path, run_owner: Identity) -> Iterator[Callable[..., EmbeddedKafka]]:
    """Makes started brokers of a test's own, which it may stop, kill, pause; `own_kafka(properties={...})`."""
    brokers: list[EmbeddedKafka] = []

    def make(properties: dict[str, str] | None = None) -> EmbeddedKafka:
        broker = EmbeddedKafka(tmp_path / f"own-kafka-{len(brokers)}", properties=properties)
        brokers.append(broker)
        broker.start()
        guard(broker.directory, run_owner)
        return broker

    yield make
    for broker in brokers:
        end_all(broker.directory, timeout_seconds=0)


@pytest.fixture(scope="session")
def messages_by_key() -> Callable[[str, str], dict[str, list[dict[str, Any]]]]:
    """Reads all messages of a topic that have a key, by key, in order: `messages_by_key(bootstrap, topic)`."""
    from kafka import KafkaConsumer, TopicPartition

    def read(bootstrap: str, topic: str) -> dict[str, list[dict[str, Any]]]:
        consumer = KafkaConsumer(bootstrap_servers=bootstrap, metrics_enabled=False)
        try:
            partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
            consumer.assign(partitions)
            consumer.seek_to_beginning()
            ends = consumer.end_offsets(partitions)
            found: dict[str, list[dict[str, Any]]] = defaultdict(list)
            while any(consumer.position(partition) < ends[partition] for partition in partitions):
                for records in consumer.poll(500).values():
                    for record in records:
                        if record.key is not None:
                            found[record.key.decode()].append(json.loads(record.value))
        finally:
            consumer.close()
        return found

    return read


@pytest.fixture
def ssh_hosts(tmp_path: Path, run_owner: Identity) -> Iterator[Callable[..., LocalFleet]]:
    """Makes started local fleets: `ssh_hosts(3, "openssh")`, the best server there is without a name."""
    fleets: list[LocalFleet] = []

    def make(hosts: int = 1, server: ServerKind | None = None) -> LocalFleet:
        if server == "openssh" and find_sshd() is None and "CI" not in os.environ:
            pytest.skip("OpenSSH's server is not installed; in CI this fails")
        fleet = LocalFleet(tmp_path / f"fleet-{len(fleets)}", hosts, server)
        fleets.append(fleet)
        fleet.start()
        guard(fleet.directory, run_owner)
        return fleet

    yield make
    for fleet in fleets:
        end_all(fleet.directory, timeout_seconds=5)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Status]:
    """A whole sandbox of three hosts with two processes each, up once in each worker that wants one."""
    directory = tmp_path_factory.mktemp("sandbox")
    status = up(directory, hosts=3, processes=2)
    guard(directory, run_owner)
    yield status
    down(directory)


@pytest.fixture(scope="session")
def systemd_host(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[SystemdHost]:
    """A host whose PID 1 is systemd, one for all tests that want one."""
    reason = missing()
    if reason and "CI" not in os.environ:
        pytest.skip(f"{reason}; in CI this fails")
    directory = tmp_path_factory.mktemp("systemd")
    with SystemdHost(directory, "h1") as host:
        guard(directory, run_owner)
        yield host
    end_all(directory, timeout_seconds=5)
