"""Host certificates: a host's key, signed by an authority that known_hosts names (OpenSSH, PROTOCOL.certkeys)."""

from __future__ import annotations

import struct
import time

from paramiko import ECDSAKey, Ed25519Key, Message, RSAKey
from paramiko.ssh_exception import SSHException

from ops.core.records import dataclass

_SUFFIX = "-cert-v01@openssh.com"
_HOST = 2
_ECDSA = ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521")
# How many fields of a certificate are the key's own.
_KEY_FIELDS = {"ssh-ed25519": 1, "ssh-rsa": 2, **dict.fromkeys(_ECDSA, 2)}
_SIGNATURES = {"ssh-ed25519": ("ssh-ed25519",), "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
_CLASSES = {"ssh-ed25519": Ed25519Key, "ssh-rsa": RSAKey, **dict.fromkeys(_ECDSA, ECDSAKey)}


class CertificateError(ValueError):
    """A certificate that cannot be read or whose signature does not fit it."""


@dataclass(frozen=True)
class Certificate:
    """What an authority has signed; the signature itself fits.

    Attributes
    ----------
    key, authority : in SSH's wire format.
    after, before : when it is valid, seconds since 1970.
    critical : options that whoever does not know them must refuse.
    signature : the algorithm by which the authority has signed.
    """

    key: bytes
    kind: int
    identity: str
    principals: tuple[str, ...]
    after: int
    before: int
    critical: tuple[str, ...]
    authority: bytes
    signature: str

    def flaw(self, host: str, now: float) -> str:
        """Say why it does not prove that a host is this one, empty where it does.

        Parameters
        ----------
        now : seconds since 1970.
        """
        if self.kind != _HOST:
            return f"the certificate {self.identity!r} is a user's, not a host's"
        if self.critical:
            return f"the certificate {self.identity!r} has options that are not known here: {', '.join(self.critical)}"
        if now < self.after:
            return f"the certificate {self.identity!r} is not valid before {_moment(self.after)}"
        if now >= self.before:
            return f"the certificate {self.identity!r} has expired at {_moment(self.before)}"
        if self.principals and host not in self.principals:
            return f"the certificate {self.identity!r} is for {', '.join(self.principals)}, not for {host}"
        return ""


def type_of(key: bytes) -> str:
    """Give a key's kind, as its first field tells; empty for garbage."""
    try:
        return _Fields(key).string().decode("ascii")
    except (CertificateError, UnicodeDecodeError):
        return ""


def is_certificate(key: bytes) -> bool:
    """Whether a host's key is a certificate."""
    return type_of(key).endswith(_SUFFIX)


def read_certificate(data: bytes) -> Certificate:
    """Read a certificate and prove its signature.

    Raises
    ------
    CertificateError : it is none, or is not signed by the authority that it names.
    """
    fields = _Fields(data)
    try:
        key_type = fields.string().decode("ascii").removesuffix(_SUFFIX)
        if key_type not in _KEY_FIELDS:
            raise CertificateError(f"its certificate is for a kind of key that is not known here: {key_type}")
        fields.string()  # the nonce
        own = [fields.string() for _ in range(_KEY_FIELDS[key_type])]
        fields.number(8)  # the serial number
        kind = fields.number(4)
        identity = fields.string().decode(errors="replace")
        principals = tuple(one.decode(errors="surrogateescape") for one in _Fields(fields.string()).strings())
        after, before = fields.number(8), fields.number(8)
        critical = tuple(one.decode(errors="replace") for one in list(_Fields(fields.string()).strings())[::2])
        fields.string()  # extensions, which hosts have none of that matters
        fields.string()  # reserved
        authority = fields.string()
    except UnicodeDecodeError as error:
        raise CertificateError("its certificate cannot be read") from error
    signed = data[: fields.at]
    signature = fields.string()
    if fields.rest:
        raise CertificateError("its certificate cannot be read")
    algorithm = _prove(authority, signed, signature)
    plain = b"".join(struct.pack(">I", len(one)) + one for one in (key_type.encode(), *own))
    return Certificate(plain, kind, identity, principals, after, before, critical, authority, algorithm)


def _prove(authority: bytes, signed: bytes, signature: bytes) -> str:
    """Prove a signature, and return its algorithm."""
    key_type, parts = type_of(authority), _Fields(signature).strings()
    algorithm = parts[0].decode(errors="replace") if len(parts) == 2 else "in no known form"
    if key_type not in _CLASSES:
        raise CertificateError(f"its certificate is signed by a kind of key that is not known here: {key_type}")
    if algorithm not in _SIGNATURES.get(key_type, (key_type,)):
        raise CertificateError(f"its certificate is signed in a way that is not trusted: {algorithm}")
    try:
        fits = _CLASSES[key_type](Message(authority)).verify_ssh_sig(signed, Message(signature))
    except (SSHException, ValueError, IndexError, struct.error):
        fits = False
    if not fits:
        raise CertificateError("the signature of its certificate is wrong")
    return algorithm


class _Fields:
    """Takes SSH's wire format apart (RFC 4251)."""

    def __init__(self, data: bytes) -> None:
        self.at = 0
        self._data = data

    @property
    def rest(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self.at

    def number(self, size: int) -> int:
        return int.from_bytes(self._take(size))

    def string(self) -> bytes:
        return self._take(self.number(4))

    def strings(self) -> list[bytes]:
        found = []
        while self.rest:
            found.append(self.string())
        return found

    def _take(self, size: int) -> bytes:
        if size > self.rest:
            raise CertificateError("its certificate cannot be read")
        part = self._data[self.at : self.at + size]
        self.at += size
        return part


def _moment(seconds: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
    except (OverflowError, ValueError, OSError):
        return "the end of time"
