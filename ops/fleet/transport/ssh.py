"""The hosts over SSH: Fabric's `Connection` for settings, gateways and log-in, one channel for one command."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fabric import Config, Connection
from paramiko import PKey, Transport
from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError
from ops.fleet.transport import ERROR_BYTES, Exit, HungError, Input, Target, parts_of
from ops.fleet.transport.failures import Way, explain
from ops.fleet.transport.known_hosts import SYSTEM_FILE, KnownHosts
from ops.fleet.transport.quoting import line_of

KEEPALIVE_SECONDS = 15
_CHUNK_BYTES = 1 << 16
_TICK_SECONDS = 1.0  # between looks at standard error while standard output is silent
_BROKEN = (SSHException, OSError, EOFError)

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # failures are reported, not logged as well


class _Hop(Connection):  # type: ignore[misc]
    """A connection that leaves the configuration alone, which all threads share.

    Fabric 3.2.3 has no class attribute of this name, so that every `Connection()` takes it for a setting, writes it
    into its configuration and merges that anew, while other threads find it empty.
    """

    inline_ssh_env = None


class _Swift(Transport):
    """Asks for AES-GCM first: one pass encrypts and authenticates, where paramiko's own first choice takes two.

    An upload to many hosts is bound by both sides' CPU: see `python -m bench.deploy`.
    """

    _preferred_ciphers = tuple(
        sorted(Transport._preferred_ciphers, key=lambda name: "-gcm@" not in name)  # type: ignore[attr-defined]
    )


@dataclass(frozen=True)
class Line:
    """An open connection to a host, and those that it goes through."""

    chain: tuple[Connection, ...]
    way: Way

    @property
    def connection(self) -> Connection:
        """The one to the host itself."""
        return self.chain[0]

    def close(self) -> None:
        """Close all of it."""
        for hop in self.chain:
            _close(hop)


class SSHTransport:
    """Runs commands over SSH; safe from several threads.

    Parameters
    ----------
    config : Fabric's configuration: `-i`, agent, ssh_config with ProxyJump, `connect_kwargs`, user, port.
    known_hosts : where host keys are looked up, and where a new one belongs.
    connect_timeout_seconds : for each stage of connecting; `-t` and ssh_config's ConnectTimeout win over it.
    keep : keep connections for the next command on the same host until `close`; else each command has its own.
    """

    def __init__(self, config: Config, known_hosts: str, connect_timeout_seconds: float, *, keep: bool = False) -> None:
        self._config = config
        self._own_file = known_hosts
        self._known_hosts = KnownHosts((known_hosts, SYSTEM_FILE))
        self._timeout = connect_timeout_seconds
        self._keep = keep
        self._lock = threading.Lock()
        self._idle: dict[Target, list[Line]] = {}
        self._kwargs = {key: value for key, value in dict(config.connect_kwargs).items() if key != "key_filename"}
        self._unlocked = _unlock(config.connect_kwargs.get("key_filename"), self._kwargs)

    def execute(
        self,
        target: Target,
        command: Sequence[str],
        data: Input,
        receive: Callable[[bytes], None],
        deadline: Deadline,
    ) -> Exit:
        """Run one command on one host; see `Transport`."""
        line, channel = self.begin(target, command)
        whole = False
        try:
            end = _converse(channel, data, receive, deadline)
            whole = True
            return end
        except TimeoutError:
            raise HungError(
                f"no answer within {deadline.seconds:g} s; what it had begun may go on there",
                where=line.way.where,
                hint=f"look at the host: ssh {target.address}",
            ) from None
        except (SSHException, EOFError, ConnectionError) as error:
            raise explain(error, line.way) from error
        finally:
            if whole and self._keep:
                with self._lock:
                    self._idle.setdefault(target, []).append(line)
            else:
                line.close()

    def close(self) -> None:
        """Close the connections that were kept."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for line in (one for some in idle.values() for one in some):
            line.close()

    def begin(self, target: Target, command: Sequence[str]) -> tuple[Line, Channel]:
        """Begin a command over a connection that was kept and still stands, else over a new one.

        Raises
        ------
        UnreachableError : as `execute`.
        """
        while True:
            with self._lock:
                kept = self._idle.get(target)
                line = kept.pop() if kept else None
            reused = line is not None
            line = line or self._connect(target)
            try:
                channel = line.connection.transport.open_session(timeout=line.way.timeout_seconds)
                channel.exec_command(line_of(command))
            except _BROKEN as error:
                line.close()
                if not reused:
                    raise explain(error, line.way) from error
            except BaseException:
                line.close()
                raise
            else:
                return line, channel

    def _connect(self, target: Target) -> Line:
        """Open the connection to a host and whatever it goes through."""
        connection = _Hop(
            target.address,
            user=target.user,
            port=target.port,
            config=self._config,
            connect_kwargs={**self._kwargs, "channel_timeout": self._timeout},  # never empty: Fabric would share it
        )
        chain = [connection]
        while isinstance(chain[-1].gateway, Connection):
            chain.append(chain[-1].gateway)
        try:
            ways = [self._secure(hop, target.name) for hop in reversed(chain)]
            for hop, way in zip(reversed(chain), ways, strict=True):
                _open(hop, way)
        except BaseException:
            for hop in chain:
                _close(hop)
            raise
        return Line(tuple(chain), ways[-1])

    def _secure(self, hop: Connection, name: str) -> Way:
        """Give one connection its host keys and deadlines, before it is opened."""
        kwargs: dict[str, Any] = dict(hop.connect_kwargs)
        own = hop.ssh_config.get("connecttimeout")
        timeout = float(kwargs.pop("timeout", None) or own or self._timeout)
        if self._unlocked is not None:
            kwargs.setdefault("pkey", self._unlocked)
        for stage in ("banner_timeout", "auth_timeout", "channel_timeout"):
            kwargs[stage] = timeout
        kwargs.setdefault("transport_factory", _Swift)
        hop.connect_kwargs = kwargs
        hop.connect_timeout = timeout
        files = hop.ssh_config.get("userknownhostsfile", "").split()
        way = Way(
            name=name,
            address=hop.host,
            port=hop.port,
            user=hop.user,
            via=hop.gateway.original_host if isinstance(hop.gateway, Connection) else None,
            known_hosts=self._own_file,
            timeout_seconds=timeout,
        )
        try:
            self._known_hosts.trust(hop.client, hop.host, hop.port, files)
        except OSError as error:
            raise UnreachableError(f"{error.filename} cannot be read: {error.strerror}", where=way.where) from error
        return way


def _unlock(files: Sequence[str] | str | None, kwargs: dict[str, Any]) -> PKey | None:
    """Unlock the first key that needs a passphrase, once for all hosts: that costs a tenth of a second on purpose.

    None where there is no passphrase, or it is not that key's: paramiko will say so, host by host.
    """
    passphrase = kwargs.get("passphrase")
    first = files if isinstance(files, str) else next(iter(files or ()), None)
    if not passphrase or first is None:
        return None
    try:
        return PKey.from_path(first, passphrase.encode())
    except (SSHException, OSError, ValueError, TypeError):
        return None


def _open(hop: Connection, way: Way) -> None:
    try:
        hop.open()
    except (*_BROKEN, ValueError) as error:  # ValueError: an unusable key or `connect_kwargs`
        raise explain(error, way) from error
    hop.transport.set_keepalive(KEEPALIVE_SECONDS)


def _close(hop: Connection) -> None:
    transport = hop.client.get_transport()
    if transport is not None and isinstance(transport.sock, socket.socket):
        with suppress(OSError):  # wakes paramiko's reading thread now, not at its next look in 0.1 s
            transport.sock.shutdown(socket.SHUT_RDWR)
    hop.client.close()  # also one that was never open for Fabric: a refused log-in leaves its thread


def _converse(channel: Channel, data: Input, receive: Callable[[bytes], None], deadline: Deadline) -> Exit:
    """Send the input, pass on the output until it ends.

    Raises
    ------
    TimeoutError : the deadline passed.
    """
    channel.settimeout(max(deadline.remaining, 0.001))
    try:
        for piece in parts_of(data):
            channel.settimeout(max(deadline.remaining, 0.001))
            channel.sendall(piece)
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError:  # it ended without reading its input: what it said is still to be read
        pass
    end = listen(channel, receive, lambda _: False, deadline)
    assert end is not None
    return end


def listen(
    channel: Channel, receive: Callable[[bytes], None], enough: Callable[[bytes], bool], deadline: Deadline
) -> Exit | None:
    """Pass on the output until it ends, or a part of it is enough; gives how the command ended, None where it goes on.

    Raises
    ------
    TimeoutError : the deadline passed.
    """
    errors = b""
    while True:
        channel.settimeout(max(min(_TICK_SECONDS, deadline.remaining), 0.001))
        try:
            part = channel.recv(_CHUNK_BYTES)
        except TimeoutError:
            part = None
        while channel.recv_stderr_ready():
            errors = (errors + channel.recv_stderr(_CHUNK_BYTES))[-ERROR_BYTES:]
        if part:
            receive(part)
            if enough(part):
                return None
        elif part is not None:
            return _exit(channel, errors, deadline)
        if deadline.expired:
            raise TimeoutError


def _exit(channel: Channel, errors: bytes, deadline: Deadline) -> Exit:
    """Take the rest of standard error and the exit code, after standard output has ended."""
    channel.settimeout(max(min(_TICK_SECONDS, deadline.remaining), 0.001))
    with suppress(TimeoutError):
        while part := channel.recv_stderr(_CHUNK_BYTES):
            errors = (errors + part)[-ERROR_BYTES:]
    if not channel.status_event.wait(min(_TICK_SECONDS, deadline.remaining)):
        return Exit(None, errors.decode(errors="replace"))
    code = channel.recv_exit_status()
    return Exit(None if code < 0 else code, errors.decode(errors="replace"))
