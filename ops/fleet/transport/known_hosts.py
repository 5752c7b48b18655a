"""Host keys: those of known_hosts are trusted, every other one is refused with what to do about it."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from paramiko import HostKeys, MissingHostKeyPolicy, PKey, SSHClient
from paramiko.hostkeys import HostKeyEntry, InvalidHostKey
from paramiko.ssh_exception import SSHException

SYSTEM_FILE = "/etc/ssh/ssh_known_hosts"

Line = tuple[tuple[str, ...], str]


class UnknownHostKey(SSHException):
    """A host whose key no known_hosts file has."""

    def __init__(self, name: str, key: PKey) -> None:
        super().__init__(f"{name} is not in known_hosts")
        self.key = key


class Refuse(MissingHostKeyPolicy):
    """Refuses unknown host keys; Fabric's own policy trusts each of them in silence."""

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:  # noqa: ARG002
        """Raise UnknownHostKey."""
        raise UnknownHostKey(hostname, key)


class KnownHosts:
    """The known_hosts files, each read once.

    Parameters
    ----------
    files : of every connection; a missing one has no keys.
    """

    def __init__(self, files: Iterable[str]) -> None:
        self.files = tuple(files)
        self._read: dict[str, tuple[Line, ...]] = {}
        self._lock = threading.Lock()

    def trust(self, client: SSHClient, address: str, port: int, more: Iterable[str] = ()) -> None:
        """Let a client accept the keys that the files have for one host, and no other.

        Parameters
        ----------
        more : further files (ssh_config's UserKnownHostsFile).

        Raises
        ------
        OSError : a file is there and can't be read.
        """
        client.set_missing_host_key_policy(Refuse())
        name = host_name(address, port)
        for file in (*self.files, *more):
            for names, line in self._lines(file):
                if _matches(name, names):
                    for key in _key(line):
                        client.get_host_keys().add(name, key.get_name(), key)

    def _lines(self, file: str) -> tuple[Line, ...]:
        with self._lock:
            if file not in self._read:
                self._read[file] = _load(Path(file).expanduser())
            return self._read[file]


def host_name(address: str, port: int) -> str:
    """Give a host's name as known_hosts has it."""
    return address if port == 22 else f"[{address}]:{port}"


def add_command(address: str, port: int, file: str, via: str | None) -> str:
    """Give the command that adds a host's key.

    Parameters
    ----------
    via : the jump host that alone reaches it.
    """
    scan = ["ssh-keyscan", *(["-p", str(port)] if port != 22 else []), address]
    return f"{shlex.join([*(['ssh', via] if via else []), *scan])} >> {_shell_path(file)}"


def remove_command(address: str, port: int, file: str) -> str:
    """Give the command that removes a host's old key."""
    return f"ssh-keygen -R {shlex.quote(host_name(address, port))} -f {_shell_path(file)}"


def _shell_path(file: str) -> str:
    """Quote a path, but let the shell expand a leading `~/`."""
    return f"~/{shlex.quote(file[2:])}" if file.startswith("~/") else shlex.quote(file)


def _load(path: Path) -> tuple[Line, ...]:
    """Read a file; lines with a marker (@cert-authority, @revoked) are none that paramiko can use."""
    try:
        text = path.read_text(errors="replace")
    except FileNotFoundError:
        return ()
    lines = (" ".join(raw.split()) for raw in text.splitlines())
    return tuple((tuple(line.partition(" ")[0].split(",")), line) for line in lines if line and line[0] not in "#@")


def _matches(name: str, names: tuple[str, ...]) -> bool:
    """Whether a line's names mean this host: plain, hashed, a pattern, a negated one (sshd(8), known_hosts)."""
    found = False
    for one in names:
        if one.startswith("|1|"):
            found = found or _hashed(name, one)
        elif one.startswith("!"):
            if _like(name, one[1:]):
                return False
        else:
            found = found or _like(name, one)
    return found


def _like(name: str, pattern: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return name.lower() == pattern.lower()
    return fnmatchcase(name.lower(), pattern.lower().replace("[", "[[]"))  # brackets are literal there


def _hashed(name: str, entry: str) -> bool:
    try:
        return HostKeys.hash_host(name, entry) == entry
    except (ValueError, AssertionError):
        return False


def _key(line: str) -> tuple[PKey, ...]:
    """Read a line's key; none where it is of a kind that paramiko does not know, or garbage."""
    try:
        entry = HostKeyEntry.from_line(line)
    except (InvalidHostKey, SSHException, ValueError):
        return ()
    return (entry.key,) if entry is not None and entry.key is not None else ()
