"""Both ends of the readiness socket: the NOTIFY_SOCKET protocol of sd_notify(3).

One datagram carries `KEY=value` lines: READY=1, STATUS=text, WATCHDOG=1, STOPPING=1, and
this project's X_STANDBY=1. systemd speaks it natively; the pidfile manager opens the
socket itself.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping
from types import TracebackType

from ops.core.deadline import Deadline
from ops.core.handover import NOTIFY_VARIABLE, STANDBY_FIELD, TAKEN_FIELD, WATCHDOG_VARIABLE

_DATAGRAM_BYTES = 4096
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid; see unix(7)


class Notifier:
    """The service's end: tells its manager how it is.

    A manager that went away is nobody's reason to fail: sending then does nothing.

    Parameters
    ----------
    address : the socket's path, or `@name` in the abstract namespace; empty for no manager.
    """

    def __init__(self, address: str = "") -> None:
        self._socket: socket.socket | None = None
        if address:
            self._address = "\0" + address[1:] if address.startswith("@") else address
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)  # a manager that stopped reading must not stop the service

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Notifier:
        """Make the notifier that NOTIFY_SOCKET asks for; without it one that does nothing."""
        return cls(environ.get(NOTIFY_VARIABLE, ""))

    def close(self) -> None:
        """Close the socket; whatever is said later goes nowhere."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, **fields: str) -> None:
        """Send one datagram of `KEY=value` lines."""
        if self._socket is None:
            return
        text = "\n".join(f"{key}={' '.join(value.splitlines())}" for key, value in fields.items())
        try:
            self._socket.sendto(text.encode()[:_DATAGRAM_BYTES], self._address)
        except OSError:
            return

    def ready(self, status: str = "") -> None:
        """Say READY=1: the service does its work from now on."""
        self.send(READY="1", **({"STATUS": status} if status else {}))

    def standby(self) -> None:
        """Say X_STANDBY=1: warm, and waiting for the slot."""
        self.send(**{STANDBY_FIELD: "1"})

    def taken(self, status: str = "") -> None:
        """Say X_TAKEN=1: the slot is its own now; and a line for people where there is one."""
        self.send(**{TAKEN_FIELD: "1"}, **({"STATUS": status} if status else {}))

    def status(self, text: str) -> None:
        """Say STATUS=: one line for people."""
        self.send(STATUS=text)

    def watchdog(self) -> None:
        """Say WATCHDOG=1: the poll loops have made progress."""
        self.send(WATCHDOG="1")

    def stopping(self) -> None:
        """Say STOPPING=1."""
        self.send(STOPPING="1")


def watchdog_seconds(environ: Mapping[str, str] = os.environ) -> float | None:
    """Give the interval in which systemd wants WATCHDOG=1 (WATCHDOG_USEC), None without a watchdog."""
    raw = environ.get(WATCHDOG_VARIABLE, "")
    return int(raw) / 1_000_000 if raw.isascii() and raw.isdigit() and int(raw) > 0 else None


class NotifySocket:
    """The manager's end: an abstract socket (nothing to clean up) that one process's messages come in by."""

    def __init__(self) -> None:
        self.address = f"@karafka-ops-{os.urandom(12).hex()}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + self.address[1:])

    def __enter__(self) -> NotifySocket:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """Give the descriptor to wait for messages by."""
        return self._socket.fileno()

    def receive(self, pid: int, deadline: Deadline) -> dict[str, str] | None:
        """Wait for the next message of process `pid`; others' are ignored, as NotifyAccess=main does.

        Returns
        -------
        The fields of one datagram, or None when the deadline passed.
        """
        while True:
            self._socket.settimeout(max(deadline.remaining, 0.001))
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_DATAGRAM_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
            except socket.timeout:  # no TimeoutError before 3.10
                return None
            for level, kind, payload in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and _CREDENTIALS.unpack(payload)[
                    0
                ] == pid:
                    lines = data.decode(errors="replace").splitlines()
                    return dict(line.split("=", 1) for line in lines if "=" in line)
            if deadline.expired:
                return None
