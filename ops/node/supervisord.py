"""supervisord's XML-RPC over its unix socket, as far as programs are concerned.

Source of methods, states and faults: supervisor's documentation, "XML-RPC API Documentation", and `supervisor.xmlrpc`.
"""

from __future__ import annotations

import base64
import http.client
import socket
import xmlrpc.client
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeVar
from xml.parsers.expat import ExpatError

from ops.core import privileges
from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.keeping import Keeping

_SECONDS = 10.0  # for one answer: nothing here waits for a process
T = TypeVar("T")


class Fault(IntEnum):
    """What supervisor refuses a call with."""

    SHUTDOWN_STATE = 6
    BAD_NAME = 10
    NO_FILE = 20
    NOT_EXECUTABLE = 21
    FAILED = 30
    SPAWN_ERROR = 50
    ALREADY_STARTED = 60
    NOT_RUNNING = 70
    ALREADY_ADDED = 90
    STILL_RUNNING = 91
    CANT_REREAD = 92


ACTIVE = frozenset({"STARTING", "RUNNING", "BACKOFF", "STOPPING"})
LOOPING = frozenset({"BACKOFF", "FATAL"})


class SupervisorError(OpsError):
    """supervisord cannot be asked, or refuses; `what` says why."""


class UnknownProgramError(SupervisorError):
    """supervisord knows no such program."""


@dataclass(frozen=True)
class Program:
    """A program as supervisord sees it.

    Attributes
    ----------
    state : supervisor's own word: STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL, UNKNOWN.
    pid : of the wrapper; 0 for none.
    stopped_at : when it ended last, seconds since 1970; 0 for never.
    trouble : why it could not be spawned, or that it exited too quickly.
    """

    name: str
    state: str
    pid: int
    stopped_at: float
    exit_status: int
    trouble: str


class Supervisord:
    """One supervisord.

    Parameters
    ----------
    path : its socket (`[unix_http_server] file`).
    credentials : gives username and password, should it ask for them.
    """

    def __init__(self, path: str, credentials: Callable[[], tuple[str, str]] | None = None) -> None:
        self._path = path
        self._credentials = credentials
        self._transport = _UnixTransport(path)
        self._proxy = xmlrpc.client.ServerProxy("http://supervisor", transport=self._transport)

    @classmethod
    def of(cls, kept: Keeping) -> Supervisord:
        """Give the supervisord that keeps an application's processes."""

        def credentials() -> tuple[str, str]:
            from ops.node.supervisor_conf import credentials as found  # most sockets have none

            return found(kept)

        return cls(kept.socket, credentials)

    def close(self) -> None:
        """Close the connection."""
        self._proxy("close")()

    def programs(self) -> dict[str, Program]:
        """Return all programs that are a group of their own, as ours are, in one call.

        Raises
        ------
        SupervisorError : supervisord cannot be asked.
        """
        return {one["name"]: _program(one) for one in self._all() if one["name"] == one["group"]}

    def program(self, name: str) -> Program:
        """Give one program.

        Raises
        ------
        SupervisorError : supervisord cannot be asked.
        UnknownProgramError : it has no such program, also in no group of somebody's.
        """
        return _program(self._call(lambda: self._proxy.supervisor.getProcessInfo(name), name))

    def start(self, name: str) -> None:
        """Let it be spawned, and wait for nothing; one that is (being) started already is fine.

        Raises
        ------
        SupervisorError : supervisord cannot be asked, does not know the program, or cannot spawn it.
        """
        self._call(lambda: self._proxy.supervisor.startProcess(name, False), name, Fault.ALREADY_STARTED)

    def stop(self, name: str) -> bool:
        """Let it be asked to end, and wait for nothing; False for one that does not run.

        Raises
        ------
        SupervisorError : supervisord cannot be asked.
        UnknownProgramError : it has no such program.
        """
        return self._call(lambda: self._proxy.supervisor.stopProcess(name, False), name, Fault.NOT_RUNNING) is not None

    def reread(self) -> tuple[list[str], list[str], list[str]]:
        """Let the conf files be read, and change nothing; gives the groups that are added, changed and removed by them.

        Raises
        ------
        SupervisorError : supervisord cannot be asked, or cannot make sense of a file; it says which.
        """
        found: Any = self._call(lambda: self._proxy.supervisor.reloadConfig())
        added, changed, removed = found[0]
        return added, changed, removed

    def add_group(self, name: str) -> None:
        """Let a group that was read be there; its programs start if they start with supervisord.

        Raises
        ------
        SupervisorError : supervisord cannot be asked, or has read no such group.
        """
        self._call(lambda: self._proxy.supervisor.addProcessGroup(name), name, Fault.ALREADY_ADDED)

    def remove_group(self, name: str, deadline: Deadline) -> None:
        """End a group's programs and let it be there no more.

        Raises
        ------
        SupervisorError : supervisord cannot be asked, has no such group, or does not end it in time.
        """
        self._call(lambda: self._proxy.supervisor.stopProcessGroup(name, False), name)

        def gone() -> bool:
            return (
                self._call(lambda: self._proxy.supervisor.removeProcessGroup(name), name, Fault.STILL_RUNNING) is True
            )

        if not deadline.poll(gone):
            raise SupervisorError(f"supervisord has not ended it within {in_seconds(deadline.seconds)}", where=name)

    def _all(self) -> Any:
        return self._call(lambda: self._proxy.supervisor.getAllProcessInfo())

    def _group_of(self, name: str) -> str:
        """Return the group that somebody has put a program into; empty for none, or where nobody can tell."""
        with suppress(SupervisorError):
            return next((str(one["group"]) for one in self._all() if one["name"] == name), "") if name else ""
        return ""

    def _call(self, call: Callable[[], T], name: str = "", fine: Fault | None = None) -> T | None:
        try:
            return call()
        except xmlrpc.client.Fault as fault:
            if fault.faultCode == fine:
                return None
            raise self._refusal(fault, name) from fault
        except xmlrpc.client.ProtocolError as error:
            if error.errcode != 401:
                what = f"supervisord answers with HTTP status {error.errcode}: {error.errmsg}"
                raise SupervisorError(what, where=self._path) from error
            self._authorize()
            return self._call(call, name, fine)
        except PermissionError as error:
            hint = "let this user use it: chmod and chown in [unix_http_server] of supervisord.conf"
            raise SupervisorError("this user may not use supervisord's socket", where=self._path, hint=hint) from error
        except (FileNotFoundError, ConnectionRefusedError) as error:
            what = "nobody listens on supervisord's socket" if isinstance(error, ConnectionError) else "no such socket"
            hint = "does supervisord run? karafka.supervisor.socket names its [unix_http_server] file"
            raise SupervisorError(what, where=self._path, hint=hint) from error
        except (OSError, http.client.HTTPException) as error:
            raise SupervisorError(f"supervisord does not answer: {error}", where=self._path) from error
        except (xmlrpc.client.Error, ExpatError) as error:
            raise SupervisorError(f"what answers is no supervisord: {error}", where=self._path) from error

    def _authorize(self) -> None:
        """Say who this is from now on, as supervisord wants a username and password.

        Raises
        ------
        SupervisorError : they are not known, or it has refused them.
        """
        what = "supervisord wants a username and password"
        if self._credentials is None or self._transport.authorized:
            refused = "; it refused those that its conf file, or karafka.supervisor.credentials, has"
            raise SupervisorError(what + (refused if self._transport.authorized else ""), where=self._path)
        try:
            self._transport.authorize(*self._credentials())
        except OpsError as error:
            why = f"{error.where}: {error.what}" if error.where else error.what
            raise SupervisorError(f"{what}; {why}", where=self._path, hint=error.hint) from error

    def _refusal(self, fault: xmlrpc.client.Fault, name: str) -> SupervisorError:
        if fault.faultCode == Fault.BAD_NAME:
            if group := self._group_of(name):
                hint = f"take it out of [group:{group}] in supervisord's files, and: supervisorctl update"
                return SupervisorError(f"supervisord has {name} in the group {group}, not by itself", hint=hint)
            return UnknownProgramError(f"supervisord knows no program {name}", hint="fab karafka.install")
        if fault.faultCode in (Fault.NO_FILE, Fault.NOT_EXECUTABLE):
            hint = "the tool's own interpreter is made by: fab karafka.setup"
            return SupervisorError(f"{name} cannot be run: {fault.faultString}", hint=hint)
        if fault.faultCode == Fault.SPAWN_ERROR:
            return SupervisorError(f"supervisord could not spawn {name}: {self.program(name).trouble}")
        if fault.faultCode == Fault.CANT_REREAD:
            return SupervisorError(f"supervisord cannot read its files: {fault.faultString}", where=self._path)
        if fault.faultCode == Fault.SHUTDOWN_STATE:
            return SupervisorError("supervisord is shutting down", where=self._path)
        return SupervisorError(f"supervisord refuses: {fault.faultString}", where=name)


def _program(one: Any) -> Program:
    return Program(
        name=str(one["name"]),
        state=str(one["statename"]),
        pid=int(one["pid"]),
        stopped_at=float(one["stop"]),
        exit_status=int(one["exitstatus"]),
        trouble=str(one["spawnerr"]),
    )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("supervisor", timeout=_SECONDS)
        self._unix_path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.sock.settimeout(_SECONDS)
        try:
            self.sock.connect(self._unix_path)
        except PermissionError:  # it is root's, which this agent may have given up
            with privileges.files_as_root():
                self.sock.connect(self._unix_path)


class _UnixTransport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path
        self._headers_of_ours: list[tuple[str, str]] = []

    @property
    def authorized(self) -> bool:
        """Whether it says who asks."""
        return bool(self._headers_of_ours)

    def authorize(self, username: str, password: str) -> None:
        """Say with each call who asks (RFC 7617)."""
        word = base64.b64encode(f"{username}:{password}".encode()).decode()
        self._headers_of_ours = [("Authorization", f"Basic {word}")]

    def send_headers(self, connection: http.client.HTTPConnection, headers: list[tuple[str, str]]) -> None:
        """Send the headers of one call."""
        super().send_headers(connection, [*headers, *self._headers_of_ours])

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = self._connection[1] or _UnixConnection(self._path)
        self._connection = host, connection
        return connection
