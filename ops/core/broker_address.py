"""What a broker's address looks like, wherever one is read."""

from __future__ import annotations

import ipaddress
import re

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:,]+):[0-9]{1,5}")


def trouble(address: str) -> str:
    """Say what is wrong with a broker's address; empty for nothing.

    A name that cannot be encoded is wrong, too: whoever looks it up gets an error that is none of the network's.
    """
    if not _ADDRESS.fullmatch(address):
        return f"expected host:port, got {address!r}"
    try:
        address.rpartition(":")[0].encode("idna")
    except UnicodeError:
        return f"expected host:port, got {address!r}: between two dots of a host's name are 1 to 63 characters"
    return ""


def is_local(address: str) -> bool:
    """Whether a broker's address is of this machine alone."""
    name = address.rpartition(":")[0].strip("[]").rstrip(".").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
