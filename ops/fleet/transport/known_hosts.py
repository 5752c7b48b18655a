"""Host keys: those of known_hosts are trusted as OpenSSH trusts them, every other one is refused."""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Collection, Iterable
from enum import Enum
from pathlib import Path

from ops.core.accounts import home_path
from ops.core.records import dataclass
from ops.fleet.transport.certificates import Certificate, CertificateError, is_certificate, read_certificate, type_of
from ops.fleet.transport.hosts_file import AUTHORITY, REVOKED, Entry, HostsFile, key_of, read_hosts

SYSTEM_FILES = ("/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2")
SSH_PORT = 22
_KRL = b"SSHKRL\n"


class Finding(Enum):
    """What known_hosts says of a host's key."""

    KNOWN = "known"
    UNKNOWN = "unknown"
    CHANGED = "changed"
    REVOKED = "revoked"


@dataclass(frozen=True)
class Judgement:
    """What known_hosts says of a host's key, and why.

    Attributes
    ----------
    known : the other key that a changed one has replaced.
    reason : why a certificate was not good enough; empty where none was shown.
    authority : whether known_hosts has an authority for the host.
    """

    finding: Finding
    known: bytes = b""
    reason: str = ""
    authority: bool = False


class KnownHosts:
    """The known_hosts files, each read once; used from several threads at once."""

    def __init__(self) -> None:
        self._read: dict[str, HostsFile] = {}
        self._revoked: dict[str, frozenset[bytes]] = {}
        self._lock = threading.Lock()

    def entries(self, name: str, files: Iterable[str]) -> tuple[Entry, ...]:
        """Give the lines of these files that mean a host.

        Parameters
        ----------
        name : as `host_name` gives it.

        Raises
        ------
        OSError : a file is there and can't be read.
        """
        return tuple(entry for file in files for entry in self._file(file).about(name.lower()))

    def revoked(self, files: Collection[str]) -> frozenset[bytes]:
        """Return the keys that ssh_config's RevokedHostKeys have in these files.

        Raises
        ------
        OSError, ValueError : as `revoked_keys`.
        """
        with self._lock:
            for file in files:
                if file not in self._revoked:
                    self._revoked[file] = revoked_keys(file)
            return frozenset[bytes]().union(*(self._revoked[file] for file in files))

    def _file(self, file: str) -> HostsFile:
        with self._lock:
            if file not in self._read:
                self._read[file] = read_hosts(Path(home_path(file)))
            return self._read[file]


@dataclass(frozen=True)
class Trust:
    """The host keys that are trusted for one connection.

    Attributes
    ----------
    host : what a certificate has to be made out to.
    entries : the lines for the host and port; for the bare name, which count where the port has none.
    revoked : keys that are good for no host.
    signatures : the algorithms by which an authority may sign (CASignatureAlgorithms); none for all that are known.
    """

    host: str
    entries: tuple[Entry, ...]
    bare: tuple[Entry, ...] = ()
    revoked: frozenset[bytes] = frozenset()
    signatures: tuple[str, ...] = ()

    def judge(self, key: bytes, now: float | None = None) -> Judgement:
        """Judge the key that a host shows.

        A certificate that is not good enough counts as the plain key in it.

        Parameters
        ----------
        key : in SSH's wire format, a certificate perhaps.
        now : seconds since 1970; None for now.
        """
        certificate, reason = None, ""
        plain = key
        if is_certificate(key):
            try:
                certificate = read_certificate(key)
            except CertificateError as error:
                return Judgement(Finding.UNKNOWN, reason=str(error), authority=self._authority)
            plain = certificate.key
        if self._is_revoked(plain, certificate):
            return Judgement(Finding.REVOKED)
        if certificate is not None:
            reason = self._flaw(certificate, time.time() if now is None else now)
            if not reason:
                return Judgement(Finding.KNOWN)
        own = _compare(self.entries, plain)
        if own.finding is Finding.UNKNOWN and _compare(self.bare, plain).finding is Finding.KNOWN:
            own = Judgement(Finding.KNOWN)
        return Judgement(own.finding, own.known, reason, self._authority)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The kinds of keys to ask for first: certificates where an authority is known, then those that are known."""
        entries = self.entries or self.bare
        plain = [one for entry in entries if not entry.marker for one in signatures_of(type_of(entry.key))]
        return (*(_CERTIFICATES if self._authority else ()), *dict.fromkeys(plain))

    @property
    def _authority(self) -> bool:
        return any(entry.marker == AUTHORITY for entry in (*self.entries, *self.bare))

    def _is_revoked(self, plain: bytes, certificate: Certificate | None) -> bool:
        shown = {plain, *([certificate.authority] if certificate else ())}
        marked = {entry.key for entry in (*self.entries, *self.bare) if entry.marker == REVOKED}
        return bool(shown & (marked | self.revoked))

    def _flaw(self, certificate: Certificate, now: float) -> str:
        """Say why a certificate does not prove that this is the host; empty where it does."""
        authorities = {entry.key for entry in (*self.entries, *self.bare) if entry.marker == AUTHORITY}
        if certificate.authority not in authorities:
            return f"its authority {fingerprint(certificate.authority)} is not in known_hosts"
        if self.signatures and certificate.signature not in self.signatures:
            signed = f"the certificate {certificate.identity!r} is signed by {certificate.signature}"
            return f"{signed}, which CASignatureAlgorithms of ssh_config leaves out"
        return certificate.flaw(self.host, now)


_PLAIN = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa")


def signatures_of(key_type: str) -> tuple[str, ...]:
    """Give the algorithms by which a kind of key signs; none for kinds that are not known here."""
    if key_type == "ssh-rsa":
        return ("rsa-sha2-512", "rsa-sha2-256")
    return (key_type,) if key_type in _PLAIN else ()


_CERTIFICATES = tuple(f"{one}-cert-v01@openssh.com" for kind in _PLAIN for one in signatures_of(kind))


def host_name(address: str, port: int) -> str:
    """Give a host's name as known_hosts has it."""
    return address if port == SSH_PORT else f"[{address}]:{port}"


def fingerprint(key: bytes) -> str:
    """Give a key's fingerprint as `ssh-keygen -l` shows it."""
    digest = base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")
    return f"SHA256:{digest}"


def revoked_keys(file: str) -> frozenset[bytes]:
    """Read ssh_config's RevokedHostKeys: a list of keys.

    Raises
    ------
    OSError : it can't be read.
    ValueError : it is a key revocation list in OpenSSH's own format.
    """
    data = Path(file).read_bytes()
    if data.startswith(_KRL):
        raise ValueError(f"{file} is a revocation list in binary form, which is not read here: name a list of keys")
    lines = data.decode(errors="replace").splitlines()
    return frozenset(key for line in lines if not line.lstrip().startswith("#") for key in key_of(line.split()[:2]))


def _compare(entries: tuple[Entry, ...], key: bytes) -> Judgement:
    """Look a plain key up: another one of its kind means that it has changed, those of other kinds mean nothing."""
    same = [entry.key for entry in entries if not entry.marker and type_of(entry.key) == type_of(key)]
    if key in same:
        return Judgement(Finding.KNOWN)
    return Judgement(Finding.CHANGED, same[0]) if same else Judgement(Finding.UNKNOWN)
