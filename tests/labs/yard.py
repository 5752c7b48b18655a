"""A project that is deployed, from git or as an artifact, to hosts behind SSH."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ops.sandbox.hosts import LocalFleet
from tests.labs.in_process import FABFILE, fab
from tests.labs.operators import FAB, Operator
from tests.labs.parts import GIT, require

# Says READY=1 and stands still, or does what a release's `mode` says: `exit` ends at once.
STANDING = """
import os, pathlib, socket, sys, time
if pathlib.Path("mode").read_text().strip() == "exit":
    sys.exit("this release is broken")
address = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", "\\0" + address[1:] if address[0] == "@" else address)
while True:
    time.sleep(60)
"""


class Yard:
    """A user's project whose releases come from a git repository, or are built artifacts; its hosts are behind SSH.

    Attributes
    ----------
    source : the repository's working tree.
    """

    def __init__(self, folder: Path, fleet: LocalFleet) -> None:
        require(GIT)
        self.folder = folder
        self.fleet = fleet
        self.source = folder / "source"
        self.hosts = {one.name: one.files.deploy_to for one in fleet.hosts}
        self.source.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.tidy()

    def settings(self, **more: Any) -> None:
        """Write the settings: no build step unless the test says so."""
        places = [
            {"host": one.name, "address": one.files.address, "port": one.files.port, "user": one.files.user,
             "deploy_to": str(one.files.deploy_to)} for one in self.fleet.hosts
        ]  # fmt: skip
        karafka = {
            "application": "yard",
            "deploy_to": "/nowhere",
            "command": [sys.executable, "program.py"],
            "agent_python": sys.executable,
            "known_hosts": str(self.fleet.known_hosts),
            "stop_timeout_seconds": 5,
            "start_timeout_seconds": 10,
            "rollout": {"settle_seconds": 0},
            "repo_url": str(self.source),
            "build": False,
            "connect_timeout_seconds": 5,
            "stages": {"test": {"hosts": places}},
            **more,
        }
        keys = {"look_for_keys": False, "allow_agent": False, "key_filename": [str(self.fleet.key)]}
        data = {"load_ssh_configs": False, "connect_kwargs": keys, "karafka": karafka}
        (self.folder / "fabric.json").write_text(json.dumps(data))

    def tidy(self) -> None:
        """Make the project as it is for every test: settings, tasks, no hooks, a source that works."""
        self.settings()
        (self.folder / "fabfile.py").write_text(FABFILE)
        for path in (self.folder / ".karafka/hooks").glob("*"):
            path.unlink()
        self.commit("good")

    def git(self, *words: str) -> str:
        """Run git in the source."""
        who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        done = subprocess.run(
            ["git", *who, *words], cwd=self.source, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout.strip()

    def commit(self, mode: str) -> str:
        """Make a commit whose release has this mode; gives its SHA."""
        (self.source / "program.py").write_text(STANDING)
        (self.source / "mode").write_text(f"{mode}\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", mode)
        return self.git("rev-parse", "HEAD")

    def hook(self, name: str, text: str) -> Path:
        """Put an executable hook there."""
        path = self.folder / ".karafka" / "hooks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def argv(self, *arguments: str) -> list[str]:
        """Return the argv of a command."""
        return [FAB, "-f", "fabric.json", *arguments]

    def fab(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which is to have this exit code; None for any.

        It is a process of its own where the project has functions as hooks.
        """
        if (self.folder / "fabfile.py").read_text() == FABFILE:
            return fab(self.folder, *arguments, code=code)
        # Invoke leaves the pipes of what functions run open
        done = subprocess.run(
            self.argv(*arguments), cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert code in (None, done.returncode), (done.returncode, done.stdout, done.stderr)
        return done

    def operator(self, *arguments: str) -> Operator:
        """Run a command beside the test."""
        return Operator(self.argv(*arguments), self.folder)

    def current(self) -> dict[str, str]:
        """Return the release that `current` leads to on each host; empty for none."""
        links = {name: root / "current" for name, root in self.hosts.items()}
        return {name: link.readlink().name if link.is_symlink() else "" for name, link in links.items()}

    def running(self) -> dict[str, str]:
        """Return the release that the living process of each host works in; empty for none."""
        found = {}
        for name, root in self.hosts.items():
            pidfile = root / "shared/tmp/pids/karafka-0.pid"
            place = Path(f"/proc/{pidfile.read_text().split()[0]}/cwd") if pidfile.exists() else None
            found[name] = place.resolve(strict=True).name if place else ""
        return found

    def working(self) -> str:
        """Deploy, unless one release is current and works everywhere; gives it."""
        if not self.agrees():
            self.fab("deploy")
        return self.only()

    def agrees(self) -> bool:
        """Whether one release is current and works everywhere."""
        found = {*self.current().values(), *self.running().values()}
        return len(found) == 1 and "" not in found

    def only(self) -> str:
        """Return the one release that is current and works everywhere."""
        found = {*self.current().values(), *self.running().values()}
        assert len(found) == 1, (self.current(), self.running())
        return found.pop()
