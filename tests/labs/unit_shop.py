"""Plain processes by units of a systemd host."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from ops.sandbox.nspawn import PYTHON, USER, SystemdHost
from tests.labs.project import CHATTY, Project


class UnitShop(Project):
    """Two processes by units of one systemd host.

    Parameters
    ----------
    user : whom SSH logs in as.

    Attributes
    ----------
    root : the application's folder there.
    """

    def __init__(self, folder: Path, host: SystemdHost, application: str, user: str, **more: Any) -> None:
        self.host = host
        self.root = f"/srv/{application}"
        host.run("install", "-d", "-o", USER, "-g", USER, self.root)
        for name in ("releases/1", "shared/say"):
            host.run("mkdir", "-p", f"{self.root}/{name}", user=USER)
        host.run("ln", "-sfn", f"{self.root}/releases/1", f"{self.root}/current", user=USER)
        host.write(f"{self.root}/releases/1/program.py", CHATTY, user=USER)
        own = {
            "application": application,
            "deploy_to": self.root,
            "command": [PYTHON, "program.py"],
            "agent_python": PYTHON,
            "manager": "systemd",
            "processes": 2,
            "stages": {"test": {"hosts": [{"host": "web1", "address": host.address, "user": user}]}},
        }
        super().__init__(folder, host.key, host.known_hosts, **{**own, **more})

    def pids(self) -> list[int]:
        """Return the pid of each process, as its pidfile has it."""
        return [int(self.text(f"{self.root}/shared/tmp/pids/karafka-{one}.pid").split()[0]) for one in (0, 1)]

    def say(self, text: str) -> None:
        """Let the processes write a line."""
        self.host.run("touch", f"{self.root}/shared/say/{text}", user=USER)

    def text(self, path: str) -> str:
        """Read a file of the host."""
        return self.host.run("cat", path).stdout

    def there(self, path: str) -> bool:
        """Whether the host has a file."""
        return self.host.run("test", "-e", path, check=False).returncode == 0


class MakeUnitShop(Protocol):
    """Makes projects on the systemd host: `unit_shop("shop", "root", processes=1)`."""

    def __call__(self, application: str, user: str, **more: Any) -> UnitShop: ...
