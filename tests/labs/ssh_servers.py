"""SSH servers that misbehave as told, in this process: paramiko's own server, and a relay in front of a real one."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
from paramiko import Ed25519Key, PKey
from paramiko.common import (
    AUTH_FAILED,
    AUTH_PARTIALLY_SUCCESSFUL,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_RESOURCE_SHORTAGE,
    OPEN_SUCCEEDED,
)
from paramiko.server import InteractiveQuery

from ops.fleet.transport import Target
from ops.sandbox.keys import make_key

STAGES = ("accept", "banner", "key exchange", "log-in", "channel", "command", "answer", "end")
"""Where a host may hang: `accept` means that it takes the connection and says nothing."""


class Manners(paramiko.ServerInterface):
    """How a server behaves: everybody is let in, every command says `here` and ends.

    Parameters
    ----------
    hang_at : one of `STAGES`; empty for none.
    keys : who is let in, in SSH's wire format; None for everybody.
    after : what is wanted after a key: `keyboard-interactive`, or nothing.
    questions : asked in turn; the answers have to be those of `answers`.
    pause_seconds : before the verdict on answers.
    most_passages : how many connections it lets through to elsewhere at once.
    """

    def __init__(
        self,
        hang_at: str = "",
        *,
        keys: Sequence[bytes] | None = None,
        after: str = "",
        questions: Sequence[str] = (),
        answers: Sequence[str] = (),
        pause_seconds: float = 0.0,
        most_passages: int = 0,
    ) -> None:
        self.hang_at = hang_at
        self.keys = keys
        self.after = after
        self.questions = questions
        self.answers = list(answers)
        self.pause_seconds = pause_seconds
        self.over = threading.Event()
        self.tried: list[bytes] = []
        self.begun = 0
        self.most_passages = most_passages
        self.passages = self.refused_passages = 0
        self._destinations: dict[int, tuple[str, int]] = {}
        self._lock = threading.Lock()

    def check_channel_direct_tcpip_request(self, chanid: int, origin: object, destination: tuple[str, int]) -> int:  # noqa: ARG002
        with self._lock:
            if self.passages >= self.most_passages:
                self.refused_passages += 1
                return OPEN_FAILED_RESOURCE_SHORTAGE
            self.passages += 1
        self._destinations[chanid] = destination
        return OPEN_SUCCEEDED

    def pass_on(self, transport: paramiko.Transport) -> None:
        """Carry what is let through."""
        while not self.over.is_set():
            channel = transport.accept(0.2)
            destination = None if channel is None else self._destinations.get(channel.get_id())
            if destination is not None:
                threading.Thread(target=self._carry, args=(channel, destination), daemon=True).start()

    def _carry(self, channel: paramiko.Channel, destination: tuple[str, int]) -> None:
        with suppress(OSError, EOFError, paramiko.SSHException), channel, socket.create_connection(destination) as far:
            threading.Thread(target=pump, args=(far, channel), daemon=True).start()
            pump(channel, far)
        with self._lock:
            self.passages -= 1

    def _hang(self, stage: str) -> None:
        if stage == self.hang_at:
            self.over.wait(60)

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002
        return f"publickey,{self.after}" if self.after else "publickey"

    def check_auth_publickey(self, username: str, key: PKey) -> int:  # noqa: ARG002
        self._hang("log-in")
        self.tried.append(key.asbytes())
        if self.keys is not None and key.asbytes() not in self.keys:
            return AUTH_FAILED
        return AUTH_PARTIALLY_SUCCESSFUL if self.after else AUTH_SUCCESSFUL

    def check_auth_interactive(self, username: str, submethods: str) -> InteractiveQuery:  # noqa: ARG002
        query = InteractiveQuery("Two", "factors")
        for question in self.questions:
            query.add_prompt(question, False)
        self.begun += 1
        return query

    def check_auth_interactive_response(self, responses: Sequence[str]) -> int:
        time.sleep(self.pause_seconds)
        return AUTH_SUCCESSFUL if list(responses) == self.answers else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002
        self._hang("channel")
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:  # noqa: ARG002
        self._hang("command")
        threading.Thread(target=self._perform, args=(channel,), daemon=True).start()
        return True

    def check_channel_forward_agent_request(self, channel: paramiko.Channel) -> bool:  # noqa: ARG002
        return True

    def _perform(self, channel: paramiko.Channel) -> None:
        time.sleep(0.1)  # paramiko says that the command has begun after it was
        with suppress(OSError, EOFError, paramiko.SSHException):
            self._hang("answer")
            channel.sendall(b"here")
            self._hang("end")
            channel.send_exit_status(0)
            channel.close()


def pump(source: Any, sink: Any) -> None:
    """Carry what comes from one to the other, until its end."""
    with suppress(OSError, EOFError, paramiko.SSHException):
        while part := source.recv(1 << 14):
            sink.sendall(part)
        sink.shutdown(socket.SHUT_WR)


class Server:
    """One that listens on a port of this machine, with a host key that its `known_hosts` line has."""

    def __init__(self, folder: Path, manners: Manners, sockets: socket.socket) -> None:
        self.manners = manners
        self.port = sockets.getsockname()[1]
        path = folder / f"key-{self.port}"
        public = make_key(path)
        self.line = f"[127.0.0.1]:{self.port} {public}\n"
        self.connections = 0
        self._key = Ed25519Key.from_private_key_file(str(path))
        self._listener = sockets

    def target(self, name: str = "host1") -> Target:
        """Give where it is reached."""
        return Target(name, "127.0.0.1", self.port, "deploy")

    def run(self) -> None:
        """Take connections until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stage = self.manners.hang_at
        if stage in ("accept", "banner", "key exchange"):
            with suppress(OSError):
                connection.sendall({"accept": b"", "banner": b"SSH-2", "key exchange": b"SSH-2.0-odd\r\n"}[stage])
            self.manners.over.wait(60)
            connection.close()
            return
        with suppress(OSError, EOFError, paramiko.SSHException):
            transport = paramiko.Transport(connection)
            transport.add_server_key(self._key)
            transport.start_server(server=self.manners)
            self.manners.pass_on(transport)
            transport.close()


@contextmanager
def serving(folder: Path, manners: Manners) -> Iterator[Server]:
    """Start a server, and end it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(folder, manners, listener)
        threading.Thread(target=server.run, daemon=True).start()
        try:
            yield server
        finally:
            manners.over.set()


class Relay:
    """Passes connections on to another port, as told by `admit`, until it freezes.

    Parameters
    ----------
    admit : is given the number of a connection, from 1, and says whether it is passed on, else it is closed at once.
    port : where it listens; 0 for any.
    """

    def __init__(self, to: tuple[str, int], admit: Callable[[int], bool] = lambda _: True, port: int = 0) -> None:
        self.connections = 0
        self.passed = 0
        self.bytes = 0
        self.frozen = threading.Event()
        self._to = to
        self._admit = admit
        self._listener = socket.create_server(("127.0.0.1", port))
        # What is on its way fits nowhere once it is frozen, as in a network
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *rest: object) -> None:
        self._listener.close()

    def _run(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                if not self._admit(self.connections):
                    near.close()
                    continue
                self.passed += 1
                far = socket.create_connection(self._to)
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while part := source.recv(1 << 14):
                while self.frozen.is_set():
                    time.sleep(0.05)
                self.bytes += len(part)
                sink.sendall(part)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
