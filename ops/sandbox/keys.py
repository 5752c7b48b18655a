"""Ed25519 keys of the local hosts and of the one who logs in there, in OpenSSH's own formats."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat


def make_key(path: Path) -> str:
    """Write a new private key, readable by its owner alone.

    Returns
    -------
    The public key, `ssh-ed25519 AAAA...`.
    """
    key = Ed25519PrivateKey.generate()
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def known_hosts_line(address: str, port: int, public_key: str) -> str:
    """Give the line of known_hosts(5) for a host key."""
    return f"[{address}]:{port} {public_key}\n"
