"""Projects of a test's own, and `fab` in them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.identity import Identity
from ops.sandbox.nspawn import SystemdHost
from tests.labs.relays import MakeRelays, Relays
from tests.labs.shop import Shop
from tests.labs.ssh_fleet import MakeHosts, started
from tests.labs.unit_shop import MakeUnitShop, UnitShop
from tests.labs.yard import Yard


@pytest.fixture(scope="module")
def relays_of(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[MakeRelays]:
    """Make projects on two SSH hosts that all tests of a module share: `relays_of(broker, name)`."""
    directory = tmp_path_factory.mktemp("relays")
    with started(directory / "fleet", 2, run_owner) as fleet:
        yield lambda broker, name: Relays(directory / name, fleet, broker, name)


@pytest.fixture
def shop(tmp_path: Path, ssh_hosts: MakeHosts) -> Shop:
    """A project of one process on each of two hosts."""
    return Shop(tmp_path / "shop", ssh_hosts(2))


@pytest.fixture
def unit_shop(tmp_path: Path, systemd_host: SystemdHost) -> MakeUnitShop:
    """Make projects on the systemd host: `unit_shop("shop", "root", processes=1)`."""
    return lambda application, user, **more: UnitShop(tmp_path / application, systemd_host, application, user, **more)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Yard]:
    """A project of two SSH hosts that all tests of a module share."""
    directory = tmp_path_factory.mktemp("yard")
    with started(directory / "fleet", 2, run_owner) as fleet:
        yield Yard(directory / "project", fleet)
