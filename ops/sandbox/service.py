"""What an SSH server of the sandbox needs to know of its host, whichever server it is."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ops.sandbox.daemon import MARKER


@dataclass(frozen=True)
class HostFiles:
    """One local host's address and the files below its folder.

    Attributes
    ----------
    name : its key in the inventory.
    address, port : loopback.
    user : who may log in; whoever runs the sandbox.
    directory : etc/ (keys, settings), home/ (where sessions begin), app/ (deploy_to).
    """

    name: str
    address: str
    port: int
    user: str
    directory: str

    @property
    def etc(self) -> Path:
        """Keys, settings, log and pidfile of the server."""
        return Path(self.directory) / "etc"

    @property
    def home(self) -> Path:
        """HOME and the working directory of each session."""
        return Path(self.directory) / "home"

    @property
    def deploy_to(self) -> Path:
        """Where the application lives."""
        return Path(self.directory) / "app"

    @property
    def host_key(self) -> Path:
        """The host's private key."""
        return self.etc / "host_key"

    @property
    def authorized_keys(self) -> Path:
        """Who may log in; read at each log-in."""
        return self.etc / "authorized_keys"

    def environment(self) -> dict[str, str]:
        """What is set for each session, beside what every SSH server sets."""
        return {"HOME": str(self.home), MARKER: self.directory}

    def encode(self) -> str:
        """Give all of it as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def decode(cls, text: str) -> HostFiles:
        """Read what `encode` gave."""
        return cls(**json.loads(text))
