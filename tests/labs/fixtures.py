"""The real parts that tests share: one broker a run, brokers and SSH hosts of a test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.identity import Identity
from ops.sandbox.census import end_all, guard
from ops.sandbox.hosts import LocalFleet, ServerKind
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.nspawn import SystemdHost
from ops.sandbox.sandbox import up
from ops.sandbox.shared import SharedKafka, shared_kafka
from ops.sandbox.state import Status
from ops.sandbox.supervisord import LocalSupervisord
from tests.labs.brokers import MakeKafka, SpareKafka
from tests.labs.parts import SSHD, SYSTEMD_HOST, require
from tests.labs.ssh_fleet import MakeHosts
from tests.labs.staying import end_agents


@pytest.fixture(scope="session")
def kafka(run_directory: Path, run_owner: Identity) -> Iterator[SharedKafka]:
    """The broker of this run; nobody stops it."""
    with shared_kafka(run_directory / "kafka", run_owner) as broker:
        yield broker


@pytest.fixture
def own_kafka(tmp_path: Path, run_owner: Identity) -> Iterator[MakeKafka]:
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
def _spare_kafka(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[SpareKafka]:
    broker = SpareKafka(tmp_path_factory.mktemp("spare-kafka") / "a broker, größer")
    broker.start()
    guard(broker.directory, run_owner)
    yield broker
    end_all(broker.directory, timeout_seconds=0)


@pytest.fixture
def spare_kafka(_spare_kafka: SpareKafka) -> Iterator[SpareKafka]:
    """A broker that a test may stop, kill and pause, as no other one is at it meanwhile."""
    yield _spare_kafka
    _spare_kafka.mend()


@pytest.fixture
def ssh_hosts(tmp_path: Path, run_owner: Identity) -> Iterator[MakeHosts]:
    """Makes started local fleets: `ssh_hosts(3, "openssh")`, the best server there is without a name."""
    fleets: list[LocalFleet] = []

    def make(hosts: int = 1, server: ServerKind | None = None) -> LocalFleet:
        if server == "openssh":
            require(SSHD)
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
    end_all(directory, timeout_seconds=0)  # how it goes down is another test's promise


@pytest.fixture(scope="session")
def systemd_host(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[SystemdHost]:
    """A host whose PID 1 is systemd, one for all tests that want one."""
    require(SYSTEMD_HOST)
    directory = tmp_path_factory.mktemp("systemd")
    with SystemdHost(directory, "h1") as host:
        guard(directory, run_owner)
        yield host
        end_agents()
    end_all(directory, timeout_seconds=5)


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[LocalSupervisord]:
    """A supervisord that all tests of a module share."""
    with LocalSupervisord(tmp_path_factory.mktemp("supervisord")) as server:
        guard(server.folder, run_owner)
        yield server
