"""Open connections, and those of them that others go through: one a host, however many go through it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from paramiko import SSHClient, Transport
from paramiko.ssh_exception import SSHException

from ops.core.errors import OpsError, UnreachableError
from ops.fleet.transport import sockets
from ops.fleet.transport.failures import Way
from ops.fleet.transport.prompts import Patience


@dataclass
class Hop:
    """An open connection.

    Attributes
    ----------
    program : what stands for its TCP connection, where a program does.
    through : what it goes through, and does no more once it is closed.
    """

    way: Way
    client: SSHClient
    program: sockets.Program | None = None
    through: Bastion | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def transport(self) -> Transport:
        """Paramiko's end of it.

        Raises
        ------
        SSHException : it is closed.
        """
        transport = self.client.get_transport()
        if transport is None:
            raise SSHException("the connection is closed")
        return transport

    @property
    def stands(self) -> bool:
        """Whether it is open, as far as one can tell from here."""
        transport = self.client.get_transport()
        return transport is not None and transport.is_active()

    def close(self) -> None:
        """Close it."""
        with self._lock:
            through, self.through = self.through, None
            program, self.program = self.program, None
        transport = self.client.get_transport()
        if transport is not None and isinstance(transport.sock, socket.socket):
            with suppress(OSError):  # wakes paramiko's reading thread now, not at its next look in 0.1 s
                transport.sock.shutdown(socket.SHUT_RDWR)
        with suppress(SSHException, OSError, EOFError):  # what it goes through may be gone
            self.client.close()  # also one that was never open: a refused log-in leaves its thread
        if program is not None:
            program.close()
        if through is not None:
            through.leave()

    def cut(self) -> threading.Thread:
        """End every wait on it, in a thread, which it gives: the other side has to be told, and that may hang, too."""
        closing = threading.Thread(target=self.close, daemon=True, name=f"close {self.way.name}")
        closing.start()
        return closing


class Bastions:
    """The connections that others go through: one a host, however many go through it at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open: dict[Any, Bastion] = {}

    def enter(self, key: Any, make: Callable[[], Hop], patience: Patience) -> Bastion:
        """Give the connection to a host to go through; `leave` it in the end.

        Those who come while it is made wait for it, and share what comes of it.

        Parameters
        ----------
        make : opens it, where there is none that stands.

        Raises
        ------
        UnreachableError : it cannot be opened.
        """
        with self.lock:
            bastion = self.open.get(key)
            first = bastion is None or not bastion.stands
            if bastion is None or first:
                bastion = self.open[key] = Bastion(self, key)
            bastion.users += 1
        if first:
            try:
                bastion.made.set_result(make())
            except OpsError as error:
                bastion.forget()
                bastion.made.set_exception(error)
            except BaseException:
                bastion.forget()
                bastion.made.set_exception(UnreachableError("the connection to the jump host was given up"))
                raise
        with patience.paused():
            bastion.hop  # noqa: B018  waits for it, and raises what its opening raised
        return bastion


class Bastion:
    """The connection to one host that others go through."""

    def __init__(self, bastions: Bastions, key: Any) -> None:
        self.made: Future[Hop] = Future()
        self.users = 0
        self._bastions = bastions
        self._key = key

    @property
    def hop(self) -> Hop:
        """The connection, once it is made."""
        return self.made.result()

    @property
    def stands(self) -> bool:
        """Whether it is open or being opened."""
        return not self.made.done() or (self.made.exception() is None and self.made.result().stands)

    def leave(self) -> None:
        """Go through it no more; it is closed behind the last one."""
        with self._bastions.lock:
            self.users -= 1
            last = self.users == 0
            if last:  # at once: nobody may enter it between
                self._forget()
        if last:
            self.hop.close()

    def forget(self) -> None:
        """Let nobody else go through it: it does not answer."""
        with self._bastions.lock:
            self._forget()

    def _forget(self) -> None:
        if self._bastions.open.get(self._key) is self:
            del self._bastions.open[self._key]
