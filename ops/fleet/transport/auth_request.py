"""One request to be let in by a server, whose answer is waited for as long as no human is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from paramiko import PKey, Transport
from paramiko.auth_handler import AuthHandler
from paramiko.ssh_exception import AuthenticationException, PartialAuthentication

from ops.core.deadline import Deadline

_TIMEOUT = "Authentication timeout."  # as paramiko has it


def timed_out_asking(error: BaseException) -> bool:
    """Whether a server did not answer a request to be let in."""
    return str(error) == _TIMEOUT


class AuthRequest:
    """One request. Each way of asking gives what else the server wants, nothing where it lets us in.

    Each raises AuthenticationException where the server says no or nothing, EOFError or what broke the connection.

    Parameters
    ----------
    seconds : how long the server may take.
    waiting : whether a human is waited for, whose time is not the server's.
    """

    def __init__(self, transport: Transport, seconds: float, waiting: Callable[[], bool]) -> None:
        self._transport = transport
        self._seconds = seconds
        self._waiting = waiting
        self._handler = AuthHandler(transport)
        self._event = threading.Event()
        transport.auth_handler = self._handler

    def publickey(self, user: str, key: PKey) -> list[str]:
        self._handler.auth_publickey(user, key, self._event)
        return self._answer()

    def none(self, user: str) -> list[str]:
        self._handler.auth_none(user, self._event)
        return self._answer()

    def password(self, user: str, password: str) -> list[str]:
        self._handler.auth_password(user, password, self._event)
        return self._answer()

    def interactive(self, user: str, answer: Any) -> list[str]:
        self._handler.auth_interactive(user, answer, self._event)
        return self._answer()

    def _answer(self) -> list[str]:
        deadline = Deadline(self._seconds)
        while not self._event.wait(0.1):
            if self._waiting():
                deadline = Deadline(self._seconds)
            elif deadline.expired:
                raise AuthenticationException(_TIMEOUT)
            if not self._transport.is_active():
                break
        if self._event.is_set() and self._handler.is_authenticated():
            return []
        error = self._transport.get_exception()
        if isinstance(error, PartialAuthentication):
            return list(error.allowed_types)
        if error is None and not self._transport.is_active():
            error = EOFError()
        raise error or AuthenticationException("")
