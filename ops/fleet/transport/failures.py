"""What went wrong on the way to a host, in words that say what to do."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from paramiko.ssh_exception import (
    AuthenticationException,
    BadHostKeyException,
    ChannelException,
    NoValidConnectionsError,
    PasswordRequiredException,
    SSHException,
)

from ops.core.errors import UnreachableError
from ops.fleet.transport.known_hosts import UnknownHostKey, add_command, remove_command


@dataclass(frozen=True)
class Way:
    """How a connection was tried, for the text of an error.

    Attributes
    ----------
    name : the host's key in the inventory.
    via : the jump host that this hop goes through.
    known_hosts : the file that a new key would go to.
    timeout_seconds : of connecting.
    """

    name: str
    address: str
    port: int
    user: str
    via: str | None
    known_hosts: str
    timeout_seconds: float

    @property
    def where(self) -> str:
        """The host, and where it was looked for."""
        through = f" through {self.via}" if self.via else ""
        own = f" ({self.address}:{self.port}{through})"
        return f"{self.name}{own}"


def explain(error: Exception, way: Way) -> UnreachableError:
    """Turn what Fabric, paramiko or the socket raised into an error that names the remedy."""
    what, hint = _words(error, way)
    return UnreachableError(what, where=way.where, hint=hint)


def _words(error: Exception, way: Way) -> tuple[str, str]:
    silent = f"no answer within {way.timeout_seconds:g} s", "is the host up, its address right, a firewall in between?"
    match error:
        case UnknownHostKey():
            return (
                f"its host key is not in {way.known_hosts} ({error.key.get_name()} {error.key.fingerprint})",
                f"if that is its fingerprint (ssh-keygen -lf on the host), add it: "
                f"{add_command(way.address, way.port, way.known_hosts, way.via)}",
            )
        case BadHostKeyException():
            return (
                f"its host key has changed: now {error.key.get_name()} {error.key.fingerprint}, known was "
                f"{error.expected_key.get_name()} {error.expected_key.fingerprint}; somebody may be in between",
                f"only if the host was set up anew: {remove_command(way.address, way.port, way.known_hosts)}",
            )
        case PasswordRequiredException():
            return "the key to log in with needs a passphrase", "give it by ssh-agent or --prompt-for-passphrase"
        case AuthenticationException():
            if "timeout" in str(error).lower():
                return silent
            return (
                f"it lets user {way.user!r} in with none of the keys",
                "name the key with -i, load it into ssh-agent, or set `user` on the host",
            )
        case NoValidConnectionsError() | ConnectionRefusedError():
            numbers = {one.errno for one in getattr(error, "errors", {}).values()}
            if numbers and not numbers & {111, 61}:
                return "no route to the host", "is its address right?"
            return "it refuses connections", f"is its SSH server up, on port {way.port}?"
        case ChannelException():
            return f"the jump host {way.via} could not connect to it", f"is it up, on port {way.port}?"
        case socket.gaierror():
            return f"no host has that name: {error.strerror}", "set `address` on the host, or a Host in ssh_config"
        case TimeoutError():
            return silent
        case SSHException():
            return _ssh_words(error, silent)
        case EOFError():
            return "the connection broke", "try again; its sshd's log says more"
        case _:
            return str(getattr(error, "strerror", None) or error), "is its address right?"


def _ssh_words(error: SSHException, silent: tuple[str, str]) -> tuple[str, str]:
    """Tell paramiko's plain SSHExceptions apart by what it says: it has no classes for them."""
    text = str(error)
    # "No existing session": paramiko's start_client gave up at the deadline, and says so to nobody.
    if "protocol banner" in text or "imeout" in text or "timed out" in text or "No existing session" in text:
        return silent
    if ("not a valid" in text and "key" in text) or "encrypted" in text or "Invalid key" in text:
        return f"the key to log in with cannot be read: {text}", "is it a private key, its passphrase right?"
    if "No authentication methods" in text:
        return "there is no key to log in with", "name the key with -i, or load it into ssh-agent"
    return f"the connection failed: {text}", "its sshd's log says more"
