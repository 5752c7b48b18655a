"""What a connection is made of below SSH: a TCP connection, or a program that stands for one."""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import tempfile
import threading
from contextlib import suppress
from errno import ECONNREFUSED, EHOSTUNREACH, ENETUNREACH
from typing import Any

from paramiko.ssh_exception import NoValidConnectionsError

from ops.core.deadline import Deadline
from ops.core.plain import cell
from ops.fleet.transport.client_config import ClientConfig

_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
_END_SECONDS = 2.0


def connect(config: ClientConfig, seconds: float) -> socket.socket:
    """Connect to a host, trying its addresses one after the other.

    Raises
    ------
    socket.gaierror : no host has that name.
    NoValidConnectionsError : it refuses, or there is no way to it.
    TimeoutError : there is no answer.
    OSError : anything else.
    """
    deadline = Deadline(seconds)
    family = _FAMILIES.get(config.text("addressfamily"), socket.AF_UNSPEC)
    found = _addresses(config.host, config.port, family, seconds)
    errors: dict[Any, OSError] = {}
    for number, (kind, address) in enumerate(found):
        made = socket.socket(kind, socket.SOCK_STREAM)
        try:
            if config.text("bindaddress"):
                made.bind((config.text("bindaddress"), 0))
            made.settimeout(max(deadline.remaining / (len(found) - number), 0.01))
            made.connect(address)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            made.close()
            errors[address] = error
        else:
            return made
    last = next((one for one in errors.values() if one.errno not in (ECONNREFUSED, EHOSTUNREACH, ENETUNREACH)), None)
    raise last or NoValidConnectionsError(errors)


def _addresses(host: str, port: int, family: int, seconds: float) -> list[tuple[int, Any]]:
    """Look a name up; the system's own way of it knows no deadline, so it gets a thread that may be left.

    One that is an address is looked up by nobody.
    """
    if _is_address(host):
        return _each_once(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
    answer: queue.SimpleQueue[list[Any] | OSError | UnicodeError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True, name=f"look up {host}").start()
    try:
        found = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"{host} could not be looked up") from None
    if isinstance(found, UnicodeError):
        raise socket.gaierror(socket.EAI_NONAME, "it is no name") from found
    if isinstance(found, OSError):
        raise found
    return _each_once(found)


def _is_address(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return True
    return False


def _each_once(found: list[Any]) -> list[tuple[int, Any]]:
    return list(dict.fromkeys((one[0], one[4]) for one in found))


class Program:
    """A program that stands for a TCP connection: ssh's ProxyCommand, run by the user's shell as ssh does.

    Attributes
    ----------
    socket : what it reads and writes.
    """

    def __init__(self, command: str) -> None:
        self.socket, other = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  closed with it
        shell = os.environ.get("SHELL") or "/bin/sh"
        try:
            self._process = subprocess.Popen(
                [shell, "-c", f"exec {command}"],
                stdin=other.fileno(),
                stdout=other.fileno(),
                stderr=self._errors,
                start_new_session=True,
            )
        except BaseException:
            self.socket.close()
            self._errors.close()
            raise
        finally:
            other.close()

    @property
    def last_words(self) -> str:
        """The last line that it wrote to standard error."""
        self._errors.seek(0)
        lines = self._errors.read()[-4096:].decode(errors="replace").splitlines()
        return cell(lines[-1])[:200] if lines else ""

    def close(self) -> None:
        """End it."""
        self.socket.close()
        with suppress(OSError):
            self._process.terminate()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
        self._errors.close()
