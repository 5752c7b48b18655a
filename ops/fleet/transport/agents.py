"""ssh-agent: the one that ssh would ask, and its keys."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any

from paramiko.agent import Agent, AgentKey, AgentSSH
from paramiko.ssh_exception import SSHException

from ops.fleet.transport.certificates import is_certificate
from ops.fleet.transport.client_config import ClientConfig
from ops.fleet.transport.keys import plain_key, public_key
from ops.fleet.transport.prompts import HUMAN_SECONDS

_LIST_SECONDS = 15.0
_REQUEST_IDENTITIES, _IDENTITIES_ANSWER = b"\x0b", 12  # of the agent protocol


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
            self._conn = connection
            self._keys = tuple(self._listed())
            connection.settimeout(HUMAN_SECONDS)  # to sign
        except BaseException:
            connection.close()
            raise

    def _listed(self) -> Iterator[AgentKey]:
        """Ask for the keys; paramiko believes any count, and no comment that is not UTF-8."""
        kind, answer = self._send_message(_REQUEST_IDENTITIES)
        if kind != _IDENTITIES_ANSWER:
            raise SSHException("it does not list its keys")
        for _ in range(answer.get_int()):
            if not answer.get_remainder():
                raise SSHException("it claims to have more keys than it lists")
            blob, comment = answer.get_binary(), answer.get_binary()
            with suppress(SSHException, ValueError):  # of a kind that nobody here knows
                yield AgentKey(self, blob, comment.decode(errors="replace"))

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
    public = public_key(path) if keys else None
    if public is None:
        return ()
    found = [key for key in keys if plain_key(key.blob) == public]
    return tuple(sorted(found, key=lambda key: not is_certificate(key.blob)))
