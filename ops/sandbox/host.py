"""One local host: its SSH server, and the ways in which it can break."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

import psutil

from ops.core import pidfile
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.sandbox import openssh
from ops.sandbox.daemon import Daemon, end, tail
from ops.sandbox.freezing import freeze
from ops.sandbox.keys import make_key
from ops.sandbox.ports import accepts
from ops.sandbox.service import HostFiles

START_SECONDS = 30.0
STOP_SECONDS = 5.0
_DAEMON = "ssh"
_SESSION_TITLES = ("sshd:", "sshd-session:", "sshd-auth:")  # the latter two since OpenSSH 9.8 and 10


class LocalHost:
    """One host of the local fleet.

    Parameters
    ----------
    files : its address and files.
    server : `openssh` or `asyncssh`.
    """

    def __init__(self, files: HostFiles, server: str) -> None:
        self.files = files
        self._server = server

    @property
    def name(self) -> str:
        """Its key in the inventory."""
        return self.files.name

    @property
    def public_key(self) -> str:
        """The public half of its host key."""
        return (self.files.etc / "host_key.pub").read_text().strip()

    @property
    def daemon(self) -> Daemon | None:
        """Its SSH server's process; None when that doesn't run."""
        record = pidfile.read(self.files.etc / f"{_DAEMON}.pid")
        if record is None or record.identity is None or not record.alive():
            return None
        return Daemon(_DAEMON, record.identity, self.files.etc)

    def prepare(self, authorized: str) -> None:
        """Make its folders, its host key and an empty release; `authorized` is the public key that may log in."""
        for folder in (self.files.etc, self.files.home, self.files.deploy_to):
            folder.mkdir(parents=True, exist_ok=True)
        (self.files.etc / "authorized").write_text(f"{authorized}\n")
        self.accept_key()
        self._make_host_key()

    def launch(self) -> None:
        """Start its SSH server; `wait_until_up` waits for it."""
        sshd = openssh.find_sshd() if self._server == "openssh" else None
        if self._server == "openssh":
            if sshd is None:
                raise OpsError("OpenSSH's server is not installed", hint="apt-get install openssh-server, or asyncssh")
            argv = openssh.command(sshd, self.files)
        else:
            argv = [sys.executable, "-m", "ops.sandbox.asyncssh_server", self.files.encode()]
        Daemon.spawn(_DAEMON, argv, directory=self.files.etc)

    def wait_until_up(self, deadline: Deadline) -> None:
        """Wait until it accepts connections.

        Raises
        ------
        OpsError : it ended, or the deadline passed.
        """
        files = self.files
        deadline.poll(lambda: self.daemon is None or accepts(files.address, files.port))
        if self.daemon is None or not accepts(files.address, files.port):
            said = tail(files.etc / f"{_DAEMON}.log")
            raise OpsError(f"{files.name}'s SSH server did not start:\n{said}", where=str(files.etc))

    def start(self) -> None:
        """Start it again after `stop`: same address, same keys."""
        self.launch()
        self.wait_until_up(Deadline(START_SECONDS))

    def stop(self) -> None:
        """End its server and its connections: refused from now on. What was started on it lives on."""
        stop_all([self])

    def freeze(self) -> None:
        """Hang it: connections are taken and never answered, open ones fall silent."""
        freeze(self._processes())

    def thaw(self) -> None:
        """End `freeze`."""
        for one in self._processes():
            one.send(signal.SIGCONT)

    def cut(self) -> None:
        """Break all open connections, as a network does; new ones are taken at once."""
        self.stop()
        self.start()

    def change_host_key(self) -> None:
        """Give it another host key than the one that known_hosts has."""
        self.stop()
        self._make_host_key()
        self.start()

    def refuse_key(self) -> None:
        """Let nobody log in any more."""
        self.files.authorized_keys.write_text("")

    def accept_key(self) -> None:
        """End `refuse_key`."""
        self.files.authorized_keys.write_text((self.files.etc / "authorized").read_text())

    def _make_host_key(self) -> None:
        (self.files.etc / "host_key.pub").write_text(make_key(self.files.host_key))

    def _processes(self) -> list[Identity]:
        daemon = self.daemon
        return [] if daemon is None else [*_connections([daemon]), daemon.identity]


def stop_all(hosts: Sequence[LocalHost]) -> None:
    """End the servers and connections of many hosts at once."""
    daemons = [one for one in (host.daemon for host in hosts) if one is not None]
    freeze([one.identity for one in daemons])  # none takes a connection any more while they are counted
    end([*(one.identity for one in daemons), *_connections(daemons)], STOP_SECONDS)
    for daemon in daemons:
        daemon.stop()


def _connections(daemons: Sequence[Daemon]) -> list[Identity]:
    """Find the processes that hold a connection each (sshd forks one to three), not what they have started."""
    found = {one.identity.pid for one in daemons}
    sessions = {one.pid: one.info["ppid"] for one in psutil.process_iter(["ppid", "cmdline"]) if _is_session(one)}
    while new := {pid for pid, parent in sessions.items() if parent in found} - found:
        found |= new
    own = {one.identity.pid for one in daemons}
    return [one for one in map(Identity.of, found - own) if one is not None]


def _is_session(process: psutil.Process) -> bool:
    return " ".join(process.info["cmdline"] or ()).startswith(_SESSION_TITLES)
