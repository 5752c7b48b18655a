"""Fleets of hosts over real SSH."""

from __future__ import annotations

import pytest

from ops.sandbox.hosts import ServerKind
from tests.labs.ssh_fleet import MakeFleet, MakeHosts, SSHFleet


@pytest.fixture
def fleet(ssh_hosts: MakeHosts) -> MakeFleet:
    """Makes fleets: `fleet(2)`."""

    def make(hosts: int = 1, server: ServerKind | None = None, connect_timeout_seconds: float = 10.0) -> SSHFleet:
        return SSHFleet(ssh_hosts(hosts, server), connect_timeout_seconds)

    return make
