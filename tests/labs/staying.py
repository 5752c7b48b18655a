"""Applications on a systemd host whose agents stay for the next request: else starting them costs most of a test."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ops.core.errors import OpsError
from ops.core.protocol import Request, Response, decode_line
from ops.core.serving import STAY
from ops.sandbox.deployed import Deployed

_Command = tuple[str, ...]


class _Agents:
    """Agents that wait for a request, by how they are started; one that is at work is nobody else's."""

    def __init__(self) -> None:
        self._all: list[subprocess.Popen[str]] = []
        self._idle: dict[_Command, list[subprocess.Popen[str]]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def one(self, command: _Command) -> Iterator[subprocess.Popen[str]]:
        """Yield an agent that waits; it waits again when its response was read."""
        with self._lock:
            idle = self._idle.setdefault(command, [])
            agent = next((one for one in iter(lambda: idle.pop() if idle else None, None) if one.poll() is None), None)
            if agent is None:
                agent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                self._all.append(agent)
        yield agent
        with self._lock:
            idle.append(agent)

    def end(self) -> None:
        """End all of them."""
        with self._lock:
            ended, self._all, self._idle = self._all, [], {}
        for agent in ended:
            agent.kill()
            agent.communicate()


_agents = _Agents()


def end_agents() -> None:
    """End the agents of all hosts."""
    _agents.end()


class Staying(Deployed):
    """An application whose agents stay."""

    def answer(self, argv: tuple[str, ...], request: Request, user: str) -> Response:
        with _agents.one((*self.host.inside(*argv, user=user), STAY)) as agent:
            assert agent.stdin is not None
            assert agent.stdout is not None
            agent.stdin.write(request.encode() + "\n")
            agent.stdin.flush()
            for line in agent.stdout:
                message = decode_line(line) if line.strip() else None
                if isinstance(message, Response):
                    return message
        raise OpsError("no answer", where=self.host.name)
