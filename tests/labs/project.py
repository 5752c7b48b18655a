"""A project of a plain program, and `fab` in it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.labs.in_process import FABFILE, fab
from tests.labs.operators import FAB, Operator

# Says READY=1, and writes a line for each file that is put beside it.
CHATTY = """
import os, pathlib, socket, time
address = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", "\\0" + address[1:] if address[0] == "@" else address)
said = set()
while True:
    for path in sorted(pathlib.Path("../../shared/say").glob("*")):
        if path.name not in said:
            said.add(path.name)
            print(path.name, flush=True)
    time.sleep(0.02)
"""


class Project:
    """A user's project of a plain program.

    Parameters
    ----------
    key, known_hosts : of the hosts.
    own : its settings, which tests may change.
    """

    def __init__(self, folder: Path, key: Path, known_hosts: Path, **own: Any) -> None:
        self.folder = folder
        self.own = {"known_hosts": str(known_hosts), "stop_timeout_seconds": 5, "rollout": {"settle_seconds": 0}, **own}
        self._keys = {"look_for_keys": False, "allow_agent": False, "key_filename": [str(key)]}
        folder.mkdir(parents=True)
        (folder / "fabfile.py").write_text(FABFILE)
        self.settings()

    def settings(self, **more: Any) -> None:
        """Write the settings."""
        data = {"load_ssh_configs": False, "connect_kwargs": self._keys, "karafka": {**self.own, **more}}
        (self.folder / "fabric.json").write_text(json.dumps(data))

    def fab(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which is to have this exit code; None for any."""
        done = fab(self.folder, *arguments, code=code)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def operator(self, *arguments: str) -> Operator:
        """Run a command beside the test."""
        return Operator([FAB, "-f", "fabric.json", *arguments], self.folder)
