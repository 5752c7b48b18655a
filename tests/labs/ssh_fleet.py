"""Hosts over real SSH, and the plans and the transport for them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from fabric import Config

from ops.core.identity import Identity
from ops.core.protocol import Verb
from ops.core.section import load
from ops.core.settings import Settings
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import Plan, make_plan
from ops.fleet.transport.ssh import SSHTransport
from ops.sandbox.census import end_all, guard
from ops.sandbox.host import LocalHost
from ops.sandbox.hosts import LocalFleet, ServerKind

IDLE = [sys.executable, "-c", "import time\nwhile True: time.sleep(1)"]


@contextmanager
def started(directory: Path, hosts: int, owner: Identity) -> Iterator[LocalFleet]:
    """Yield hosts that run, and end them with all that runs on them; they never outlive `owner`."""
    fleet = LocalFleet(directory, hosts)
    fleet.start()
    guard(fleet.directory, owner)
    try:
        yield fleet
    finally:
        end_all(fleet.directory, timeout_seconds=0)


class SSHFleet:
    """A local fleet, the settings for it and a way to it."""

    def __init__(self, local: LocalFleet, connect_timeout_seconds: float) -> None:
        self.local = local
        self.hosts: list[LocalHost] = local.hosts
        for host in local.hosts:
            (host.files.deploy_to / "current").mkdir(exist_ok=True)
        self.kwargs = {"key_filename": [str(local.key)], "look_for_keys": False, "allow_agent": False}
        self.config = Config(overrides={"connect_kwargs": self.kwargs, "load_ssh_configs": False})
        self.timeout = connect_timeout_seconds

    def settings(self, **more: object) -> Settings:
        hosts = [
            {
                "host": host.name,
                "address": host.files.address,
                "port": host.files.port,
                "user": host.files.user,
                "deploy_to": str(host.files.deploy_to),
            }
            for host in self.hosts
        ]
        section = {
            "application": "test",
            "deploy_to": "/nowhere",
            "command": IDLE,
            "readiness": "alive",
            "agent_python": sys.executable,
            "known_hosts": str(self.local.known_hosts),
            "stages": {"test": {"hosts": hosts}},
        }
        return load({**section, **more})

    def plan(self, verb: Verb, **more: object) -> Plan:
        settings = self.settings(**more)
        return make_plan(settings, select(settings, Selection()), verb)

    def transport(self) -> SSHTransport:
        return SSHTransport(self.config, str(self.local.known_hosts), self.timeout)


class MakeHosts(Protocol):
    """Starts hosts behind SSH: `ssh_hosts(3, "openssh")`, the best server there is without a name."""

    def __call__(self, hosts: int = 1, server: ServerKind | None = None) -> LocalFleet: ...


class MakeFleet(Protocol):
    """Makes fleets: `fleet(2)`."""

    def __call__(
        self, hosts: int = 1, server: ServerKind | None = None, connect_timeout_seconds: float = 10.0
    ) -> SSHFleet: ...
