"""What is known of a sandbox: its state file, and how it is now."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ops.core.pidfile import write_whole
from ops.sandbox.daemon import Daemon
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.kafka import EmbeddedKafka


@dataclass(frozen=True)
class Status:
    """How a sandbox is.

    Attributes
    ----------
    directory : its folder.
    parts : each part by name (`kafka`, `remote`, `host1`, ...) and whether it runs; empty when it is down.
    bootstrap, config, remote_url : the broker, the fleet's fabric.yaml, the remote systems; empty when it is down.
    hosts : name, address and port of each host.
    env : what the reference apps need in their environment to work with this sandbox.
    began : whether this very `up` started it; false where it was up before.
    """

    directory: Path
    parts: Mapping[str, bool]
    bootstrap: str = ""
    config: str = ""
    remote_url: str = ""
    server: str = ""
    hosts: tuple[Mapping[str, Any], ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    began: bool = False

    @property
    def up(self) -> bool:
        """Whether all of it runs."""
        return bool(self.parts) and all(self.parts.values())

    def data(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return {
            "up": self.up,
            "bootstrap": self.bootstrap,
            "config": self.config,
            "hosts": [dict(one) for one in self.hosts],
            "remote": self.remote_url,
            "server": self.server,
            "env": dict(self.env),
            "parts": dict(self.parts),
        }


def read_status(directory: Path, *, began: bool = False) -> Status:
    """Tell how the sandbox in an absolute folder is."""
    state = read_state(directory)
    if not state:
        return Status(directory, {})
    kafka = EmbeddedKafka.load(state["kafka"])
    fleet = LocalFleet.load(state["fleet"])
    parts = {"kafka": kafka.running.alive(), "remote": Daemon.load(state["remote"]["daemon"]).alive()}
    parts |= {host.name: host.daemon is not None for host in fleet.hosts}
    places = tuple(
        {"host": one.name, "address": one.files.address, "port": one.files.port, "user": one.files.user}
        for one in fleet.hosts
    )
    return Status(
        directory,
        parts,
        bootstrap=kafka.bootstrap,
        config=str(directory / "fabric.yaml"),
        remote_url=state["remote"]["url"],
        server=fleet.server,
        hosts=places,
        env=state["env"],
        began=began,
    )


def state_file(directory: Path) -> Path:
    """Give the file that makes a folder a sandbox's."""
    return directory / "sandbox.json"


def read_state(directory: Path) -> dict[str, Any]:
    """Read the state; empty where the sandbox is not up, or was broken off on the way there."""
    try:
        state: dict[str, Any] = json.loads(state_file(directory).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return state


def write_state(directory: Path, state: Mapping[str, Any]) -> None:
    """Write the state; an empty one on the way up."""
    write_whole(state_file(directory), json.dumps(state, indent=2))
