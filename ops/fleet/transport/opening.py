"""One SSH connection opened: its host key judged, logged in, within deadlines, tried again where that helps."""

from __future__ import annotations

import random
import time
from typing import Any, cast

from paramiko import MissingHostKeyPolicy, PKey, SSHClient, Transport
from paramiko.auth_strategy import AuthStrategy
from paramiko.channel import Channel
from paramiko.ssh_exception import ChannelException, NoValidConnectionsError, SSHException

from ops.core.records import dataclass
from ops.fleet.transport import sockets
from ops.fleet.transport.bastions import Bastion, Hop
from ops.fleet.transport.client_config import ClientConfig
from ops.fleet.transport.failures import HostKeyError, ProxyError, Way, explain, timed_out
from ops.fleet.transport.known_hosts import Finding, Trust
from ops.fleet.transport.login import Credentials, LateError, Login
from ops.fleet.transport.prompts import Patience
from ops.fleet.transport.wire import Wire, settle

KEEPALIVE_SECONDS = 15
_BROKEN = (SSHException, OSError, EOFError)
_REFUSED_SECONDS = 1.0  # a host that restarts its sshd; one that is down should not hold a command up
_PROGRAM_SECONDS = 2.0  # one that ends: `ssh -W` does so where its server has too many connections
_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_CONNECT_FAILED = 2
_SHORTAGES = (1, 4)  # RFC 4254: administratively prohibited, as where there are too many; resource shortage


class _Policy(MissingHostKeyPolicy):
    """Judges host keys; paramiko knows none itself here, so that it asks about each."""

    def __init__(self, trust: Trust) -> None:
        self._trust = trust

    def missing_host_key(self, client: SSHClient, hostname: str, key: PKey) -> None:  # noqa: ARG002
        """Refuse every key that is not trusted."""
        shown = key.public_blob.key_blob if key.public_blob is not None else key.asbytes()
        judgement = self._trust.judge(shown)
        if judgement.finding is not Finding.KNOWN:
            raise HostKeyError(shown, judgement, getattr(client.get_transport(), "shows_certificates", False))


@dataclass(frozen=True)
class Opener:
    """Opens connections.

    Attributes
    ----------
    kwargs : more for paramiko's `SSHClient.connect`.
    """

    credentials: Credentials
    kwargs: dict[str, Any]

    def open(self, config: ClientConfig, way: Way, trust: Trust, through: Bastion | None, patience: Patience) -> Hop:
        """Open a connection; one that is refused, or ends before the server's first word, is tried again for a while.

        sshd closes connections so when too many begin at once (MaxStartups).

        Parameters
        ----------
        through : what it goes through; None for nothing. Left by the connection, at its end.

        Raises
        ------
        UnreachableError : the host cannot be reached, or lets nobody in.
        """
        began, pause = time.monotonic(), _PAUSE_SECONDS
        while True:
            attempt = _Attempt(self, config, way, trust, through, patience)
            try:
                return attempt.made()
            except LateError:
                with self.credentials.prompts.turn(patience):  # nobody else asks until this one is in
                    try:
                        return _Attempt(self, config, way, trust, through, patience).made()
                    except (*_BROKEN, ValueError) as error:
                        raise explain(error, way) from error
            except (*_BROKEN, ValueError) as error:
                wait = pause * random.uniform(0.5, 1.5)
                left = patience.within(attempt.patient_seconds(error)) - (time.monotonic() - began) - wait
                if left <= 0:
                    raise explain(error, way) from error
                time.sleep(wait)
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)


class _Attempt:
    """One try to open a connection."""

    def __init__(
        self,
        opener: Opener,
        config: ClientConfig,
        way: Way,
        trust: Trust,
        through: Bastion | None,
        patience: Patience,
    ) -> None:
        self._opener = opener
        self._config = config
        self._way = way
        self._trust = trust
        self._through = through
        self._patience = patience
        self._transport: Wire | None = None

    def made(self) -> Hop:
        client = SSHClient()
        client.set_missing_host_key_policy(_Policy(self._trust))
        hop = Hop(self._way, client)
        config, way, patience = self._config, self._way, self._patience
        try:
            sock = self._socket(hop)
            stage = patience.within(way.timeout_seconds)
            login = Login(way.name, config, self._opener.credentials, patience, way.timeout_seconds)
            client.connect(
                config.host,
                config.port,
                config.user,
                sock=sock,
                timeout=stage,
                banner_timeout=stage,
                auth_timeout=stage,
                channel_timeout=stage,
                transport_factory=self._factory,
                auth_strategy=cast(AuthStrategy, login),
                **self._opener.kwargs,
            )
            hop.transport.set_keepalive(KEEPALIVE_SECONDS)
            settle(hop.transport)
            hop.through = self._through
        except BaseException as error:
            words = None if hop.program is None else hop.program.last_words
            hop.close() if self._through is None else hop.cut()
            if words is not None and isinstance(error, _BROKEN) and not self._spoke and not timed_out(error):
                raise ProxyError(words or "it said nothing") from error
            raise
        return hop

    def patient_seconds(self, error: BaseException) -> float:
        """Say for how long another try is worth while after an error, from the first one on."""
        if isinstance(error, NoValidConnectionsError):
            refused = any(isinstance(one, ConnectionRefusedError) for one in error.errors.values())
            return _REFUSED_SECONDS if refused else 0.0
        if isinstance(error, ChannelException):
            crowded = error.code in _SHORTAGES and self._through is not None and self._through.users > 1
            return self._way.timeout_seconds if crowded else _REFUSED_SECONDS
        if isinstance(error, ProxyError):
            return _PROGRAM_SECONDS
        if self._transport is None or self._spoke or timed_out(error) or isinstance(error, ValueError):
            return 0.0
        return self._way.timeout_seconds

    @property
    def _spoke(self) -> bool:
        return self._transport is not None and bool(self._transport.remote_version)

    def _socket(self, hop: Hop) -> Any:
        config, seconds = self._config, self._patience.within(self._way.timeout_seconds)
        if self._through is not None:
            return _jump(self._through, config, seconds)
        command = config.text("proxycommand")
        if command:
            hop.program = sockets.Program(config.expand(command))
            return hop.program.socket
        return sockets.connect(config, seconds)

    def _factory(self, sock: Any, **kwargs: Any) -> Transport:
        self._transport = Wire(sock, **kwargs)
        self._transport.trusted = self._trust.algorithms
        self._transport.allowed = self._config.algorithms("hostkeyalgorithms")
        return self._transport


def _jump(bastion: Bastion, config: ClientConfig, seconds: float) -> Channel:
    """Open a channel through a host to the next one.

    Raises
    ------
    ChannelException : that host could not connect to it.
    SSHException, EOFError : that host does not answer, or is gone.
    """
    transport = bastion.hop.transport
    try:
        return transport.open_channel("direct-tcpip", (config.host, config.port), ("127.0.0.1", 0), timeout=seconds)
    except ChannelException:
        raise
    except SSHException as error:
        if "Timeout" in str(error):
            bastion.forget()
        elif transport.is_active():  # of several that fail at once paramiko says only of one why
            raise ChannelException(_CONNECT_FAILED, str(error)) from error
        raise
