"""The operator's ssh-agent for what runs on a host (ForwardAgent): its git asks it, for one."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any

from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

_CHUNK_BYTES = 1 << 14
_BROKEN = (OSError, SSHException, EOFError)


def forward_agent(channel: Channel, path: str) -> None:
    """Let what runs in a channel ask an agent, for as long as its connection stands.

    Parameters
    ----------
    path : the agent's socket here.
    """

    def asked(remote: Channel) -> None:
        threading.Thread(target=_relay, args=(remote, path), daemon=True, name="ssh-agent for a host").start()

    channel.request_forward_agent(asked)


def _relay(remote: Channel, path: str) -> None:
    with suppress(*_BROKEN), remote, socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        agent.connect(path)
        threading.Thread(target=_pump, args=(agent, remote), daemon=True, name="ssh-agent's answers").start()
        _pump(remote, agent)
        agent.shutdown(socket.SHUT_RDWR)


def _pump(source: Any, sink: Any) -> None:
    with suppress(*_BROKEN):
        while part := source.recv(_CHUNK_BYTES):
            sink.sendall(part)
    with suppress(*_BROKEN):
        sink.shutdown(socket.SHUT_WR)
