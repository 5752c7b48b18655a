"""ssh-agent: the one that ssh would ask, and its keys."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from paramiko.agent import Agent, AgentKey, AgentSSH

from ops.fleet.transport.certificates import is_certificate
from ops.fleet.transport.client_config import ClientConfig
from ops.fleet.transport.keys import plain_key, public_key
from ops.fleet.transport.prompts import HUMAN_SECONDS

_LIST_SECONDS = 15.0


class PatientAgent(Agent):
    """The keys of ssh-agent, which may ask a human before it signs.

    Parameters
    ----------
    path : its socket.

    Raises
    ------
    OSError, SSHException : nobody answers there.
    """

    def __init__(self, path: str, waiting: Callable[[], AbstractContextManager[None]]) -> None:
        AgentSSH.__init__(self)
        self._waiting = waiting
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_LIST_SECONDS)
        try:
            connection.connect(path)
            self._connect(connection)  # type: ignore[attr-defined]
            connection.settimeout(HUMAN_SECONDS)  # to sign
        except BaseException:
            connection.close()
            raise

    def _send_message(self, msg: Any) -> Any:
        with self._waiting():
            return super()._send_message(msg)  # type: ignore[misc]


def agent_path(config: ClientConfig, option: str = "identityagent") -> str | None:
    """Give the socket of the agent that ssh would ask; None for no agent.

    Parameters
    ----------
    option : the one that may name it: yes, no, SSH_AUTH_SOCK, $VARIABLE or a path.
    """
    named = str(config.options.get(option) or "")
    if named.lower() in ("none", "no"):
        return None
    if named in ("", "yes", "SSH_AUTH_SOCK"):
        return os.environ.get("SSH_AUTH_SOCK") or None
    if named.startswith("$") and not named.startswith("${"):
        return os.environ.get(named[1:]) or None
    return config.path(named)


def matching(keys: tuple[AgentKey, ...], path: str) -> tuple[AgentKey, ...]:
    """Give the agent's keys that are the same as a file's; their certificates first."""
    public = public_key(path)
    if public is None:
        return ()
    found = [key for key in keys if plain_key(key.blob) == public]
    return tuple(sorted(found, key=lambda key: not is_certificate(key.blob)))
