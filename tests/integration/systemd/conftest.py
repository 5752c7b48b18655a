"""Consumers of numbered messages on a host whose PID 1 is systemd, by hardened units, and `fab` over its SSH."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.core.identity import Identity
from ops.sandbox.census import end_all, guard
from ops.sandbox.deployed import Deployed
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.nspawn import SystemdHost
from tests.labs.serving import STANDS_READY, MakeServing, end, install
from tests.labs.unit_relays import MakeUnitRelays, UnitRelays


@pytest.fixture(scope="session")
def broker(
    systemd_host: SystemdHost, tmp_path_factory: pytest.TempPathFactory, run_owner: Identity
) -> Iterator[EmbeddedKafka]:
    """A broker that the host reaches: it listens on this machine's end of the wire between them."""
    directory = tmp_path_factory.mktemp("systemd-kafka")
    made = EmbeddedKafka(directory, address=systemd_host.gateway)
    made.start()
    guard(directory, run_owner)
    yield made
    end_all(directory, timeout_seconds=0)


@pytest.fixture
def relays_of(tmp_path: Path, systemd_host: SystemdHost, broker: EmbeddedKafka) -> Iterator[MakeUnitRelays]:
    """Make installed applications: `relays_of(processes=2, deploy_to=...)`."""
    made: list[UnitRelays] = []

    def make(processes: int = 1, **more: Any) -> UnitRelays:
        made.append(UnitRelays(tmp_path / f"project{len(made)}", systemd_host, broker, processes, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def serving(systemd_host: SystemdHost) -> Iterator[MakeServing]:
    """Make installed applications without Kafka: `serving("import time; ...", processes=1)` runs that as Python."""
    made: list[Deployed] = []

    def make(script: str = STANDS_READY, **more: Any) -> Deployed:
        made.append(install(systemd_host, script, **more))
        return made[-1]

    yield make
    for one in made:
        end(systemd_host, one)
