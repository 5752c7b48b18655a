"""Fleets of hosts over real SSH."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ops.core.identity import Identity
from ops.sandbox.hosts import LocalFleet, ServerKind
from tests.labs.ssh_fleet import MakeFleet, MakeHosts, SSHFleet, started


@pytest.fixture
def fleet(ssh_hosts: MakeHosts) -> MakeFleet:
    """Makes fleets: `fleet(2)`."""

    def make(hosts: int = 1, server: ServerKind | None = None, connect_timeout_seconds: float = 10.0) -> SSHFleet:
        return SSHFleet(ssh_hosts(hosts, server), connect_timeout_seconds)

    return make


@pytest.fixture(scope="module")
def two_hosts(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[LocalFleet]:
    """Two hosts that all tests of a module share, which leave them as they are."""
    with started(tmp_path_factory.mktemp("two-hosts"), 2, run_owner) as hosts:
        yield hosts


@pytest.fixture
def shared_fleet(two_hosts: LocalFleet) -> MakeFleet:
    """Makes fleets of one or two hosts that other tests ask, too: `shared_fleet(2)`."""

    def make(hosts: int = 1, server: ServerKind | None = None, connect_timeout_seconds: float = 10.0) -> SSHFleet:
        assert server is None
        made = SSHFleet(two_hosts, connect_timeout_seconds)
        made.hosts = made.hosts[:hosts]
        return made

    return make
