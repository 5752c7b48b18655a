"""A local fleet: hosts on loopback with their own key, home and deploy_to, behind a real SSH server.

On Linux each host has an address of its own (all of 127.0.0.0/8 is loopback there) and they share one
port; elsewhere they are ports of 127.0.0.1.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ops.core.accounts import has_account, user_name
from ops.core.deadline import Deadline
from ops.core.errors import OpsError, UsageError
from ops.sandbox import openssh
from ops.sandbox.host import LocalHost, stop_all
from ops.sandbox.keys import known_hosts_line, make_key
from ops.sandbox.ports import free_port
from ops.sandbox.service import HostFiles

ServerKind = Literal["openssh", "asyncssh"]
START_SECONDS = 30.0
MOST_HOSTS = 250
_ATTEMPTS = 3


def best_server() -> ServerKind:
    """Return OpenSSH where its server is installed and lets this user in, who has to have an account; else asyncssh."""
    return "openssh" if openssh.find_sshd() and has_account() else "asyncssh"


class LocalFleet:
    """The hosts of a sandbox.

    Parameters
    ----------
    directory : all their files; made where missing.
    hosts : how many, 1 to 250; named host1, host2, ...
    server : which SSH server; None takes the best there is.

    Attributes
    ----------
    key : private key that logs in on all of them.
    known_hosts : their host keys.
    hosts : the hosts, in order.
    """

    def __init__(self, directory: Path, hosts: int = 3, server: ServerKind | None = None) -> None:
        if not 1 <= hosts <= MOST_HOSTS:
            raise UsageError(f"{hosts} hosts", hint=f"1 to {MOST_HOSTS} are possible")
        self.directory = directory.absolute()
        self.server: ServerKind = server or best_server()
        self.key = self.directory / "id_ed25519"
        self.known_hosts = self.directory / "known_hosts"
        self.hosts: list[LocalHost] = []
        self._count = hosts

    def __enter__(self) -> LocalFleet:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, timeout_seconds: float = START_SECONDS) -> None:
        """Start all hosts and wait until each of them answers.

        Raises
        ------
        OpsError : one doesn't come up; with the last lines of its log.
        """
        deadline = Deadline(timeout_seconds)
        self._prepare()
        for attempt in range(1, _ATTEMPTS + 1):
            self._place()
            try:
                for host in self.hosts:
                    host.launch()
                for host in self.hosts:
                    host.wait_until_up(deadline)
                return
            except OpsError as error:
                self.stop()
                if attempt == _ATTEMPTS or "address already in use" not in str(error).lower():
                    raise

    def stop(self) -> None:
        """End every server and the connections there are; what was started on the hosts lives on."""
        stop_all(self.hosts)

    def record(self) -> dict[str, Any]:
        """Give all that `load` needs as JSON data."""
        return {
            "directory": str(self.directory),
            "server": self.server,
            "hosts": [asdict(host.files) for host in self.hosts],
        }

    @classmethod
    def load(cls, record: Mapping[str, Any]) -> LocalFleet:
        """Take over a fleet from what `record` gave, also in another process."""
        fleet = cls(Path(record["directory"]), len(record["hosts"]), record["server"])
        fleet.hosts = [LocalHost(HostFiles(**files), fleet.server) for files in record["hosts"]]
        return fleet

    def _prepare(self) -> None:
        """Make folders and keys."""
        user = user_name()
        self.directory.mkdir(parents=True, exist_ok=True)
        own = make_key(self.key)
        names = [f"host{number}" for number in range(1, self._count + 1)]
        files = [HostFiles(name, "", 0, user, str(self.directory / "hosts" / name)) for name in names]
        self.hosts = [LocalHost(one, self.server) for one in files]
        for host in self.hosts:
            host.prepare(own)

    def _place(self) -> None:
        """Give every host an address and a port, and write known_hosts."""
        if sys.platform == "linux":
            prefix = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}"
            addresses = [f"{prefix}.{number}" for number in range(1, self._count + 1)]
            places = [(address, port) for port in [free_port(addresses)] for address in addresses]
        else:
            places = [("127.0.0.1", free_port()) for _ in self.hosts]
        for host, (address, port) in zip(self.hosts, places, strict=True):
            host.files = replace(host.files, address=address, port=port)
        lines = [known_hosts_line(one.files.address, one.files.port, one.public_key) for one in self.hosts]
        self.known_hosts.write_text("".join(lines))
