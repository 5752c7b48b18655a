"""The hosts over SSH: Fabric's configuration and ssh's own, one channel for one command."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Any

from fabric import Config
from fabric.connection import derive_shorthand
from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

from ops.core.accounts import home_path
from ops.core.deadline import Deadline
from ops.core.errors import SettingsError, UnreachableError
from ops.fleet.transport import Exit, Input, Target
from ops.fleet.transport.agents import agent_path
from ops.fleet.transport.bastions import Bastions, Hop
from ops.fleet.transport.client_config import ClientConfig
from ops.fleet.transport.client_configs import ClientConfigs, config_files
from ops.fleet.transport.failures import Way, explain
from ops.fleet.transport.forwarding import forward_agent
from ops.fleet.transport.keys import key_store
from ops.fleet.transport.known_hosts import SYSTEM_FILES, KnownHosts, Trust, host_name
from ops.fleet.transport.lines import BROKEN, Line, converse, hung
from ops.fleet.transport.login import Credentials
from ops.fleet.transport.opening import Opener
from ops.fleet.transport.prompts import PROMPTS, Patience, Prompts
from ops.fleet.transport.quoting import line_of
from ops.fleet.transport.route import Route, route_to

DEFAULT_FILE = "~/.ssh/known_hosts"
_OWN = ("key_filename", "passphrase", "password", "pkey", "allow_agent", "look_for_keys")
_PASSED = ("compress", "disabled_algorithms")
_TIMES = ("timeout", "banner_timeout", "auth_timeout", "channel_timeout")

logging.getLogger("paramiko").addHandler(logging.NullHandler())  # failures are reported, not logged as well


class SSHTransport:
    """Runs commands over SSH; safe from several threads.

    Parameters
    ----------
    config : Fabric's configuration: `-i`, agent, ssh_config's place, `connect_kwargs`, user, port, gateway.
    known_hosts : where host keys are looked up, and where a new one belongs.
    connect_timeout_seconds : for each stage of connecting; `-t` and ssh_config's ConnectTimeout win over it.
    keep : keep connections for the next command on the same host until `close`; else each command has its own.
    say : is told, once, what ssh_config asks for and is not done here.
    prompts : where a human is asked; None for those of this process.

    Raises
    ------
    SettingsError : `connect_kwargs` has something that cannot be done here, or a file that it names is not there.
    """

    def __init__(
        self,
        config: Config,
        known_hosts: str,
        connect_timeout_seconds: float,
        *,
        keep: bool = False,
        say: Callable[[str], None] = lambda _: None,
        prompts: Prompts | None = None,
    ) -> None:
        given = _checked(dict(config.connect_kwargs))
        if not isinstance(config.gateway or "", str):
            raise SettingsError("expected a command, as ssh's ProxyCommand", where="gateway", hint="or use ProxyJump")
        prompts = prompts or PROMPTS
        named = given.get("key_filename") or ()
        files = (named,) if isinstance(named, str) else tuple(named)
        self._opener = Opener(
            Credentials(
                key_store(given.get("passphrase") or given.get("password"), prompts),
                prompts,
                tuple(home_path(str(file)) for file in files),
                given.get("pkey"),
                given.get("password"),
                bool(given.get("allow_agent", True)),
                bool(given.get("look_for_keys", True)),
            ),
            {key: value for key, value in given.items() if key in _PASSED},
        )
        self._configs = ClientConfigs(config_files(config), str(config.user), int(config.port), config.gateway or "")
        self._forward_agent = bool(config.forward_agent)
        self._own_file = known_hosts
        self._known_hosts = KnownHosts()
        self._seconds = connect_timeout_seconds
        self._own_seconds = given.get("timeout") or config.timeouts.connect
        self._keep = keep
        self._say = say
        self._said: set[str] = set()
        self._lock = threading.Lock()
        self._idle: dict[Target, list[Line]] = {}
        self._bastions = Bastions()

    def execute(
        self,
        target: Target,
        command: Sequence[str],
        data: Input,
        receive: Callable[[bytes], None],
        deadline: Deadline,
    ) -> Exit:
        """Run one command on one host; see `Transport`."""
        line, channel, deadline = self.begin(target, command, deadline)
        whole = False
        try:
            with line.within(deadline):
                end = converse(channel, data, receive, deadline)
            whole = True
            return end
        except TimeoutError:
            raise hung(line, target, deadline) from None
        except (SSHException, EOFError, ConnectionError) as error:
            raise explain(error, line.way) from error
        finally:
            if whole and self._keep:
                with self._lock:
                    self._idle.setdefault(target, []).append(line)
            else:
                line.hop.cut() if deadline.expired else line.close()

    def close(self) -> None:
        """Close the connections that were kept."""
        with self._lock:
            idle, self._idle = self._idle, {}
        for line in (one for some in idle.values() for one in some):
            line.close()

    def begin(self, target: Target, command: Sequence[str], deadline: Deadline) -> tuple[Line, Channel, Deadline]:
        """Begin a command over a connection that was kept and still stands, else over a new one.

        Gives the deadline, too, which is later by the time that a human has taken.

        Raises
        ------
        UnreachableError : as `execute`.
        """
        patience = Patience(deadline)
        while True:
            with self._lock:
                kept = self._idle.get(target)
                line = kept.pop() if kept else None
            reused = line is not None
            line = line or self._connect(target, patience)
            stage = Deadline(patience.within(line.way.timeout_seconds))
            try:
                with line.within(stage):
                    channel = line.hop.transport.open_session(timeout=stage.remaining)
                    path = self._forwarded(line.config)
                    if path is not None:
                        forward_agent(channel, path)
                    channel.exec_command(line_of(command))
            except BROKEN as error:
                line.hop.cut()
                if not reused:
                    raise explain(error, line.way) from error
            except BaseException:
                line.hop.cut()
                raise
            else:
                return line, channel, patience.rest()

    def _connect(self, target: Target, patience: Patience) -> Line:
        """Open the connection to a host, through others where ssh would."""
        short = derive_shorthand(target.address)
        name = short["host"] or target.address
        try:
            route = route_to(self._configs, name, target.user or short["user"], target.port or short["port"])
        except UnreachableError as error:
            raise UnreachableError(error.what, where=target.name, hint=error.hint) from error
        for config in route:
            self._remark(config)
        return Line(self._open(route, target.name, patience), route[-1])

    def _open(self, route: Route, name: str, patience: Patience) -> Hop:
        config = route[-1]
        way = self._way(config, name, route[-2].name if route[1:] else None)
        through = None
        if route[1:]:
            key = tuple((one.host, one.port, one.user, one.name) for one in route[:-1])
            try:
                through = self._bastions.enter(key, lambda: self._open(route[:-1], name, patience), patience)
            except UnreachableError as error:  # which may have been another host's, too
                where = self._way(route[-2], name, route[-3].name if route[2:] else None).where
                raise UnreachableError(error.what, where=where, hint=error.hint) from error
        try:
            return self._opener.open(config, way, self._trust(config, way), through, patience)
        except BaseException:
            if through is not None:
                through.leave()
            raise

    def _way(self, config: ClientConfig, name: str, via: str | None) -> Way:
        own = self._own_seconds
        return Way(
            name=name,
            address=config.host,
            port=config.port,
            user=config.user,
            via=via,
            known_hosts=self._own_file,
            timeout_seconds=float(own) if own else config.seconds("connecttimeout") or self._seconds,
            alias=config.text("hostkeyalias"),
        )

    def _trust(self, config: ClientConfig, way: Way) -> Trust:
        users, systems = config.files("userknownhostsfile"), config.files("globalknownhostsfile")
        own = () if users and self._own_file == DEFAULT_FILE else (self._own_file,)
        files = tuple(dict.fromkeys((*own, *users, *(systems or SYSTEM_FILES))))
        bare = host_name(config.host, 22) if not way.alias and config.port != 22 else None
        revoked = config.files("revokedhostkeys")
        try:
            return Trust(
                way.alias or config.host,
                self._known_hosts.entries(way.known_as, files),
                self._known_hosts.entries(bare, files) if bare else (),
                self._known_hosts.revoked(revoked),
                config.algorithms("casignaturealgorithms"),
            )
        except OSError as error:
            raise UnreachableError(f"{error.filename} cannot be read: {error.strerror}", where=way.where) from error
        except ValueError as error:
            raise UnreachableError(str(error), where=way.where, hint="or leave it to known_hosts' @revoked") from error

    def _forwarded(self, config: ClientConfig) -> str | None:
        """Give the socket of the agent that a host may ask; None for none."""
        named = str(config.options.get("forwardagent") or "").lower()
        if named in ("", "no"):
            return agent_path(config) if self._forward_agent else None
        return agent_path(config) if named == "yes" else agent_path(config, "forwardagent")

    def _remark(self, config: ClientConfig) -> None:
        for text in config.unsupported:
            with self._lock:
                fresh = text not in self._said
                self._said.add(text)
            if fresh:
                self._say(f"ssh_config for {config.name}: {text}")


def _checked(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Refuse what `connect_kwargs` cannot do here."""
    for key in kwargs:
        if key not in (*_OWN, *_PASSED, *_TIMES):
            raise SettingsError(
                f"{key!r} is not possible here",
                where="connect_kwargs",
                hint=f"possible are: {', '.join(sorted((*_OWN, *_PASSED, *_TIMES)))}; all else belongs into ssh_config",
            )
    return kwargs
