"""Keys to log in with: those of files, each read and unlocked once for all hosts, and those of the agent."""

from __future__ import annotations

import base64
import binascii
import copy
import struct
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path

from paramiko import PKey
from paramiko.agent import AgentKey
from paramiko.ssh_exception import PasswordRequiredException, SSHException

from ops.core.records import dataclass
from ops.fleet.transport.certificates import CertificateError, is_certificate, read_certificate
from ops.fleet.transport.prompts import NoAnswerError, Patience, Prompts

_TRIES = 3  # of a passphrase, as ssh
_MAGIC = b"openssh-key-v1\0"
_ARMOUR = b"-----"


class LockedKeyError(SSHException):
    """A key that needs a passphrase."""


@dataclass(frozen=True)
class KeyFile:
    """A file with a key to log in with; `default` for one that nobody has named."""

    path: str
    default: bool = False


@cache
def key_store(passphrase: str | None, prompts: Prompts) -> KeyStore:
    """Give the store of this process: a command may have several ways to its hosts, and asks for a passphrase once."""
    return KeyStore(passphrase, prompts)


class KeyStore:
    """The keys of files; used from several threads at once.

    Parameters
    ----------
    passphrase : for all that need one; None to ask for each.
    """

    def __init__(self, passphrase: str | None, prompts: Prompts) -> None:
        self._passphrase = passphrase
        self._prompts = prompts
        self._known: dict[str, PKey | Exception] = {}
        self._lock = threading.Lock()

    def load(self, path: str) -> PKey:
        """Read a key.

        Raises
        ------
        LockedKeyError : it needs a passphrase, which is not known.
        SSHException, OSError : it cannot be read.
        """
        with self._lock:  # unlocking costs a tenth of a second on purpose: once for all hosts
            found = self._known.get(path) or _read(path, self._passphrase)
            if isinstance(found, (PKey, LockedKeyError)):
                self._known[path] = found
        if isinstance(found, Exception):
            raise found
        return found

    def unlock(self, path: str, patience: Patience) -> PKey:
        """Ask for a key's passphrase, once for all hosts.

        Raises
        ------
        LockedKeyError : nobody knows it.
        """
        with self._prompts.turn(patience):
            with suppress(LockedKeyError):
                return self.load(path)
            for _ in range(_TRIES):
                try:
                    with patience.paused():
                        words = self._prompts.ask(f"Enter passphrase for key '{path}': ", echo=False)
                except NoAnswerError as error:
                    raise LockedKeyError(f"{path} needs a passphrase, and {error}") from None
                found = _read(path, words)
                if not isinstance(found, LockedKeyError):
                    with self._lock:
                        self._known[path] = found
                    return self.load(path)
            raise LockedKeyError(f"{path} needs another passphrase")


def certified(key: PKey, files: tuple[str, ...]) -> tuple[PKey, ...]:
    """Give a key once with each certificate of these files that is made out to it."""
    found = []
    for file in files:
        data = _public_line(file)
        if data is None or not is_certificate(data) or plain_key(data) != plain_key(key.asbytes()):
            continue
        one = AgentKey(key.agent, key.blob, key.comment) if isinstance(key, AgentKey) else copy.copy(key)
        with suppress(SSHException, ValueError, OSError):
            one.load_certificate(file)
            found.append(one)
    return tuple(found)


def public_key(path: str) -> bytes | None:
    """Give the public key of a file, in SSH's wire format, without any passphrase; None where it cannot be told."""
    for name in (f"{path}.pub", path):
        data = _public_line(name)
        if data is not None:
            return plain_key(data)
    return _opened(path)


def plain_key(data: bytes) -> bytes:
    """Give the key itself of what may be a certificate."""
    if is_certificate(data):
        with suppress(CertificateError):
            return read_certificate(data).key
    return data


def _public_line(path: str) -> bytes | None:
    try:
        fields = Path(path).read_bytes().split()
        return None if fields[0].startswith(_ARMOUR) else base64.b64decode(fields[1], validate=True)
    except (OSError, IndexError, binascii.Error, ValueError):
        return None


def _opened(path: str) -> bytes | None:
    """Give the public key that OpenSSH's own format has in front of the private one."""
    try:
        lines = Path(path).read_bytes().split(b"\n")
        data = base64.b64decode(b"".join(line for line in lines if not line.startswith(_ARMOUR)))
        if not data.startswith(_MAGIC):
            return None
        at = len(_MAGIC)
        for _ in range(3):  # the cipher, how its key is derived, and with what
            at += 4 + int(struct.unpack_from(">I", data, at)[0])
        size = int(struct.unpack_from(">I", data, at + 4)[0])
        return data[at + 8 : at + 8 + size]
    except (OSError, binascii.Error, ValueError, struct.error):
        return None


def _read(path: str, passphrase: str | None) -> PKey | Exception:
    try:
        return PKey.from_path(path, passphrase.encode() if passphrase else None)  # type: ignore[arg-type]
    except (TypeError, PasswordRequiredException):
        if passphrase:  # for a key that has none
            return _read(path, None)
        return LockedKeyError(f"{path} needs a passphrase")
    except OSError as error:
        return error
    except Exception as error:  # noqa: BLE001  each kind of key has errors of its own for what it cannot read
        if passphrase and _encrypted(path):
            return LockedKeyError(f"{path} needs another passphrase")
        return SSHException(f"{path} is no private key that can be read: {error}")


def _encrypted(path: str) -> bool:
    return isinstance(_read(path, None), LockedKeyError)
