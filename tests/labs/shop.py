"""Plain processes, one on each host of an SSH fleet."""

from __future__ import annotations

import sys
from pathlib import Path

from ops.sandbox.hosts import LocalFleet
from tests.labs.project import CHATTY, Project


class Shop(Project):
    """Plain processes, one on each of the fleet's hosts, whose logrotate reads a folder of the test's own.

    Attributes
    ----------
    rules : that folder, the same for all hosts.
    supervisor : the settings of the supervisord that keeps them; empty for none.
    """

    def __init__(self, folder: Path, fleet: LocalFleet) -> None:
        self.fleet = fleet
        self.rules = folder / "logrotate.d"
        self.supervisor: dict[str, str] = {}
        for host in fleet.hosts:
            root = host.files.deploy_to
            (root / "releases/1").mkdir(parents=True)
            (root / "releases/1/program.py").write_text(CHATTY)
            (root / "current").symlink_to(root / "releases/1")
        places = [
            {"host": one.name, "address": one.files.address, "port": one.files.port, "user": one.files.user,
             "deploy_to": str(one.files.deploy_to)} for one in fleet.hosts
        ]  # fmt: skip
        super().__init__(
            folder,
            fleet.key,
            fleet.known_hosts,
            application="shop",
            deploy_to="/nowhere",
            command=[sys.executable, "program.py"],
            agent_python=sys.executable,
            logrotate_d=str(self.rules),
            stages={"test": {"hosts": places}},
        )

    def say(self, host: int, text: str) -> None:
        """Let the processes of a host write a line."""
        folder = self.fleet.hosts[host].files.deploy_to / "shared/say"
        folder.mkdir(exist_ok=True)
        (folder / text).touch()

    def log(self, host: int) -> Path:
        """Return the log of a host's process."""
        return self.fleet.hosts[host].files.deploy_to / "shared/log/karafka-0.log"
