"""Free ports on loopback, outside the range that outgoing connections take theirs from.

A client that keeps connecting to a closed port of the ephemeral range of its own machine may
end up connected to itself, and then the server can't have the port back.
"""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence

from ops.core.errors import OpsError

_RANGE = range(12000, 32000)  # below the ephemeral ports of Linux (32768), macOS and the BSDs (49152)
_ATTEMPTS = 200


def free_port(addresses: Sequence[str] = ("127.0.0.1",)) -> int:
    """Find a TCP port that is free on every one of `addresses` at this moment.

    Somebody else may take it before its user binds it: who binds it must be ready to try another.

    Raises
    ------
    OpsError : hundreds of ports were tried in vain.
    """
    for port in random.sample(_RANGE, _ATTEMPTS):
        if all(_can_bind(address, port) for address in addresses):
            return port
    raise OpsError(
        f"no free port on {', '.join(addresses)}", hint="too many listeners: inv sandbox.down ends a sandbox"
    )


def other_port(port: int) -> int:
    """Find a free port for a second listener of the same process, as `free_port` may find the same one twice."""
    found = free_port()
    while found == port:
        found = free_port()
    return found


def accepts(address: str, port: int, timeout_seconds: float = 1.0) -> bool:
    """Whether somebody accepts TCP connections there."""
    try:
        with socket.create_connection((address, port), timeout=timeout_seconds):
            return True
    except OSError:
        return False


def _can_bind(address: str, port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
