"""Hosts whose PID 1 is a real systemd: containers of systemd-nspawn on a copy-on-write root, reached by SSH.

For tests and benches of what systemd does. Root's alone, and Linux's. Nothing is left of one, whatever ends it: its
mounts and processes are its own namespaces' (see `ops.sandbox.nspawn_root`), its network goes with them, and
`ops.sandbox.census.guard` ends it with the run. What is given to it of this machine is read-only: the interpreter and
this package, below /opt, where a hardened unit sees them.
"""

from __future__ import annotations

import os
import random
import re
import secrets
import shutil
import site
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psutil

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.sandbox.daemon import Daemon, tail
from ops.sandbox.keys import make_key
from ops.sandbox.nspawn_root import Order, namespace
from ops.sandbox.ports import accepts

USER, UID = "deploy", 4711
BOOT_SECONDS = 60.0
STOP_SECONDS = 20.0
RUN_SECONDS = 60.0
PYTHON = "/opt/karafka/bin/python"  # a venv there: this run's packages, this checkout
SOURCE = "/opt/source"
_BASE, _PACKAGES = "/opt/python", "/opt/packages"
_UNSHARE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--")
_TOOLS = ("systemd-nspawn", "nsenter", "unshare", "ip", "sshd")


def missing() -> str:
    """Say what keeps this machine from booting such a host; empty for nothing."""
    if os.name != "posix" or os.geteuid() != 0:
        return "only root can boot a systemd host"
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    absent = [name for name in _TOOLS if shutil.which(name, path=path) is None]
    if absent:
        return f"not installed: {', '.join(absent)} (see .ci/install)"
    probe = [*_UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]  # of a namespace that ends with it
    done = subprocess.run(probe, capture_output=True, text=True, timeout=20, check=False)
    return (
        f"this machine makes no namespaces with mounts of their own: {done.stderr.strip()}" if done.returncode else ""
    )


class SystemdHost:
    """One host; `with SystemdHost(folder, "web1") as host`.

    Parameters
    ----------
    directory : its own: log, keys, known_hosts.
    name : its key in the inventory.

    Attributes
    ----------
    address, gateway : its own address, and this machine's on the way to it: where a broker for it listens.
    key : the private key that logs in as `root` and as `deploy`.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.directory = directory.absolute()
        self.name = name
        self.machine = f"k{secrets.token_hex(4)}"
        network = f"10.{random.randint(64, 127)}.{random.randint(0, 255)}"
        self.gateway, self.address = f"{network}.1", f"{network}.2"
        self.key = self.directory / "id"
        self.known_hosts = self.directory / "known_hosts"
        self._daemon: Daemon | None = None
        self._leader: Identity | None = None

    def __enter__(self) -> SystemdHost:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Boot it and wait until it answers by SSH.

        Raises
        ------
        OpsError : this machine cannot, or it did not come up in time; with the last lines of its console.
        """
        reason = missing()
        if reason:
            raise OpsError(reason, where=self.name)
        self.directory.mkdir(parents=True, exist_ok=True)
        authorized, public = make_key(self.key), make_key(self.directory / "host_key")
        self.known_hosts.write_text(f"{self.address} {public}\n")
        binds, texts, links = _interpreter()
        order = Order(
            machine=self.machine,
            folder=str(self.directory),
            user=USER,
            uid=UID,
            host_key=(self.directory / "host_key").read_text(),
            authorized=authorized,
            binds=binds,
            texts=texts,
            links=links,
            namespace=namespace(),
        )
        argv = [*_UNSHARE, sys.executable, "-m", "ops.sandbox.nspawn_root", order.encode()]
        self._daemon = Daemon.spawn("nspawn", argv, directory=self.directory)
        self._wait_until_up(None)

    def reboot(self) -> None:
        """Restart it as `reboot` does, and wait until it is back."""
        before = self._leader
        self.run("systemctl", "reboot", check=False)
        if before is not None and not Deadline(BOOT_SECONDS).poll(lambda: not before.alive()):
            raise OpsError(f"it did not go down within {in_seconds(BOOT_SECONDS)}", where=self.name)
        self._wait_until_up(before)

    def stop(self) -> None:
        """Power it off; nothing of it is left."""
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            for child in psutil.Process(daemon.identity.pid).children() if daemon.alive() else ():
                child.terminate()  # unshare itself hears no TERM
            Deadline(STOP_SECONDS).poll(lambda: not daemon.alive())
            daemon.stop(timeout_seconds=0)
        link = Path("/sys/class/net") / f"ve-{self.machine}"
        if not Deadline(5.0).poll(lambda: not link.exists()):
            raise OpsError(f"the interface {link.name} is still there", where=self.name)

    def trust(self, other: SystemdHost) -> None:
        """Let whoever logs in on another host log in here, and know this one's key as well as that one's."""
        public = subprocess.run(
            ["ssh-keygen", "-y", "-f", str(other.key)], capture_output=True, text=True, timeout=20, check=True
        ).stdout
        self.write("/etc/ssh/authorized_keys", public)
        with other.known_hosts.open("a") as file:
            file.write(self.known_hosts.read_text())

    def run(
        self, *argv: str, data: str = "", check: bool = True, user: str = "root"
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there, past SSH.

        Parameters
        ----------
        data : its standard input.
        user : who runs it.

        Raises
        ------
        OpsError : it failed, with what it said; only with `check`.
        """
        command = self.inside(*argv, user=user)
        done = subprocess.run(command, input=data, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
        if check and done.returncode != 0:
            raise OpsError(f"{' '.join(argv)} exited with {done.returncode}: {done.stderr.strip()}", where=self.name)
        return done

    def inside(self, *argv: str, user: str = "root") -> tuple[str, ...]:
        """Give the argv that runs a command there.

        Raises
        ------
        OpsError : it does not run.
        """
        if self._leader is None:
            raise OpsError("it does not run", where=self.name)
        # nsenter would keep this process's environment; a login has its own
        clean = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8")
        whom = () if user == "root" else ("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups")
        return ("nsenter", "-t", str(self._leader.pid), "-a", *clean, *whom, *argv)

    def write(self, path: str, text: str, *, mode: int = 0o644, user: str = "root") -> None:
        """Write a file there, whole, its folders too."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1.part" && chmod "$2" "$1.part" && mv "$1.part" "$1"'
        self.run("sh", "-c", script, "sh", path, f"{mode:o}", data=text, user=user)

    def _wait_until_up(self, before: Identity | None) -> None:
        daemon = self._daemon
        assert daemon is not None
        deadline = Deadline(BOOT_SECONDS)
        found = deadline.poll(lambda: self._find_leader(before) or not daemon.alive())
        self._leader = found if isinstance(found, Identity) else None
        if self._leader is not None:
            self._connect(deadline)
            deadline.poll(lambda: not daemon.alive() or accepts(self.address, 22, 0.2), every=0.05)
            # SSH refuses everybody but root until the boot is through (pam_nologin)
            if accepts(self.address, 22) and deadline.poll(self._booted, every=0.05):
                return
        said = tail(daemon.log, 40)
        self.stop()
        raise OpsError(f"it did not boot within {in_seconds(BOOT_SECONDS)}:\n{said}", where=self.name)

    def _booted(self) -> bool:
        return self.run("test", "-e", "/run/nologin", check=False).returncode == 1

    def _find_leader(self, before: Identity | None) -> Identity | None:
        """Give PID 1 of the host, once it is systemd: the descendant whose number in there is 1."""
        assert self._daemon is not None
        try:
            for child in psutil.Process(self._daemon.identity.pid).children(recursive=True):
                numbers = re.search(r"^NSpid:(.*)$", Path(f"/proc/{child.pid}/status").read_text(), re.MULTILINE)
                first = numbers is not None and len(numbers[1].split()) > 1 and numbers[1].split()[-1] == "1"
                identity = Identity.of(child.pid)
                if first and identity != before and child.name() == "systemd":
                    return identity
        except (psutil.Error, OSError):
            return None
        return None

    def _connect(self, deadline: Deadline) -> None:
        """Give both ends of the wire an address."""
        assert self._leader is not None
        outside, inside = f"ve-{self.machine}", ["nsenter", "-t", str(self._leader.pid), "-n"]
        commands = [
            ["ip", "addr", "replace", f"{self.gateway}/30", "dev", outside],
            ["ip", "link", "set", outside, "up"],
            [*inside, "ip", "addr", "replace", f"{self.address}/30", "dev", "host0"],
            [*inside, "ip", "link", "set", "host0", "up"],
            [*inside, "ip", "route", "replace", "default", "via", self.gateway],
        ]
        for command in commands:
            if not deadline.poll(lambda command=command: _succeeds(command), every=0.05):  # type: ignore[misc]
                raise OpsError(f"{' '.join(command)} failed", where=self.name)


def _succeeds(command: Sequence[str]) -> bool:
    return subprocess.run(command, capture_output=True, timeout=10, check=False).returncode == 0


def _interpreter() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Give the binds, files and links that make a venv of this run's packages there, where every unit sees it."""
    version = f"python{sysconfig.get_python_version()}"
    base = Path(sys.base_prefix)
    home = str(base / "bin") if base == Path("/usr") else f"{_BASE}/bin"
    binds = {} if base == Path("/usr") else {str(base): _BASE}
    binds[site.getsitepackages()[0]] = _PACKAGES
    binds[str(Path(__file__).resolve().parents[2])] = SOURCE
    venv = str(Path(PYTHON).parents[1])
    texts = {
        f"{venv}/pyvenv.cfg": f"home = {home}\ninclude-system-site-packages = false\n",
        f"{venv}/lib/{version}/site-packages/karafka.pth": f"{_PACKAGES}\n{SOURCE}\n",
    }
    # An interpreter may look for its library where only root may: it is put where everybody looks.
    libraries = [] if base == Path("/usr") else base.glob(f"lib/lib{version}.so*")
    folder = f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}"
    return (
        binds,
        texts,
        {PYTHON: f"{home}/{version}", **{f"{folder}/{one.name}": f"{_BASE}/lib/{one.name}" for one in libraries}},
    )
