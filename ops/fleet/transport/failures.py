"""What went wrong on the way to a host, in words that say what to do."""

from __future__ import annotations

import errno
import shlex
import socket

from paramiko.ssh_exception import AuthenticationException, ChannelException, NoValidConnectionsError, SSHException

from ops.core.amounts import in_seconds
from ops.core.errors import UnreachableError
from ops.core.records import dataclass
from ops.fleet.transport.certificates import is_certificate, type_of
from ops.fleet.transport.known_hosts import Finding, Judgement, fingerprint, host_name
from ops.fleet.transport.login import LoginError
from ops.fleet.transport.prompts import NoAnswerError


class HostKeyError(SSHException):
    """A host whose key is not trusted.

    Attributes
    ----------
    key : in SSH's wire format.
    certified : whether the host has a certificate, shown or not.
    """

    def __init__(self, key: bytes, judgement: Judgement, certified: bool) -> None:
        super().__init__(f"its key is {judgement.finding.value}")
        self.key = key
        self.judgement = judgement
        self.certified = certified


class ProxyError(SSHException):
    """A program in place of a TCP connection that ended without one."""


_PROHIBITED = 1  # RFC 4254
_ADDRESS = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EINVAL, errno.EHOSTDOWN})


@dataclass(frozen=True)
class Way:
    """How a connection was tried, for the text of an error.

    Attributes
    ----------
    name : the host's key in the inventory.
    via : the jump host that this hop goes through.
    known_hosts : the file that a new key would go to.
    timeout_seconds : of connecting.
    alias : the name that known_hosts has it under, empty for its address.
    """

    name: str
    address: str
    port: int
    user: str
    via: str | None
    known_hosts: str
    timeout_seconds: float
    alias: str = ""

    @property
    def known_as(self) -> str:
        """Its name in known_hosts."""
        return self.alias or host_name(self.address, self.port)

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
    silent = (
        f"no answer within {in_seconds(way.timeout_seconds)}",
        "is the host up, its address right, a firewall in between?",
    )
    match error:
        case HostKeyError():
            return _host_key_words(error, way)
        case ProxyError():
            return f"its ProxyCommand ended without a connection: {error}", "try it by itself; ssh_config has it"
        case LoginError():
            return _login_words(error, way)
        case NoAnswerError():
            return f"it was not let in: {error}", "answer its questions at a terminal"
        case AuthenticationException():
            if "timeout" in str(error).lower():
                return silent
            return f"it does not let user {way.user!r} in: {error}", "its sshd's log says more"
        case NoValidConnectionsError() | ConnectionRefusedError():
            numbers = {one.errno for one in getattr(error, "errors", {}).values()}
            if numbers and errno.ECONNREFUSED not in numbers:
                return "no route to the host", "is its address right?"
            return "it refuses connections", f"is its SSH server up, on port {way.port}?"
        case ChannelException():
            if error.code == _PROHIBITED:
                return (
                    f"the jump host {way.via} lets nobody through",
                    "see AllowTcpForwarding in its sshd_config",
                )
            return f"the jump host {way.via} could not connect to it", f"is it up, on port {way.port}?"
        case socket.gaierror():
            return f"no host has that name: {error.strerror}", "set `address` on the host, or a Host in ssh_config"
        case TimeoutError():
            return silent
        case SSHException():
            return _ssh_words(error, silent)
        case EOFError():
            return "the connection broke", "try again; its sshd's log says more"
        case OSError() if error.errno in _ADDRESS:
            return str(error.strerror), "is its address right?"
        case OSError() if error.filename:
            return f"{error.filename}: {error.strerror}", "ssh_config or fabric.yaml names that file"
        case _:
            return f"the connection failed: {getattr(error, 'strerror', None) or error}", "its sshd's log may say more"


def _host_key_words(error: HostKeyError, way: Way) -> tuple[str, str]:
    judgement = error.judgement
    shown = f"{type_of(error.key)} {fingerprint(error.key)}"
    if judgement.finding is Finding.REVOKED:
        return (
            f"its host key is revoked ({shown}); whoever answers must not be trusted",
            "known_hosts has it as @revoked, or ssh_config's RevokedHostKeys: give the host a new key",
        )
    if judgement.finding is Finding.CHANGED:
        known = f"{type_of(judgement.known)} {fingerprint(judgement.known)}"
        return (
            f"its host key has changed: now {shown}, known was {known}; somebody may be in between",
            f"only if the host was set up anew: {remove_command(way)}",
        )
    if judgement.reason:
        return (
            f"its host certificate is not trusted: {judgement.reason}",
            "have its key signed anew by the authority that known_hosts names for it (@cert-authority); "
            "ssh-keygen -Lf shows what a certificate says",
        )
    if judgement.authority:
        return (
            f"it shows no host certificate, though {way.known_hosts} has an authority for it ({shown})",
            "have its key signed by that authority, and name it as HostCertificate in its sshd_config",
        )
    if error.certified or is_certificate(error.key):
        return (
            f"its host key is not in {way.known_hosts} ({shown}), nor is the authority of its host certificate",
            f"add that authority's key there: @cert-authority {way.known_as} <its public key>",
        )
    return (
        f"its host key is not in {way.known_hosts} ({shown})",
        f"if that is its fingerprint (ssh-keygen -lf on the host), add it: {add_command(way)}",
    )


def _login_words(error: LoginError, way: Way) -> tuple[str, str]:
    reasons = f" ({'; '.join(error.reasons)})" if error.reasons else ""
    if any("needs a" in one and "passphrase" in one for one in error.reasons) and not error.refused:
        return f"the key to log in with needs a passphrase{reasons}", "give it by ssh-agent or --prompt-for-passphrase"
    if error.refused:
        return (
            f"it lets user {way.user!r} in with none of the keys{reasons}",
            "name the key with -i, load it into ssh-agent, or set `user` on the host",
        )
    if error.reasons:
        what = f"{'; '.join(error.reasons)}: user {way.user!r} is not let in"
        return what, "name another key with -i or `connect_kwargs.key_filename`, or load one into ssh-agent"
    return "there is no key to log in with", "name the key with -i, or load it into ssh-agent"


def timed_out(error: BaseException) -> bool:
    """Whether a deadline of paramiko's passed, which it tells in several ways and by no class of its own."""
    text = str(error)
    return (
        isinstance(error, TimeoutError)
        or isinstance(error.__context__, TimeoutError)
        or any(one in text for one in ("imeout", "timed out"))
        or text == "No existing session"  # its start_client gave up, and said so to nobody
    )


def add_command(way: Way) -> str:
    """Give the command that adds a host's key: through the jump host, where that alone reaches it."""
    scan = ["ssh-keyscan", *(["-p", str(way.port)] if way.port != 22 else []), way.address]
    text = shlex.join([*(["ssh", way.via] if way.via else []), *scan])
    if way.alias:
        text += f" | sed {shlex.quote(f's/^[^ #]*/{way.alias}/')}"
    return f"{text} >> {_shell_path(way.known_hosts)}"


def remove_command(way: Way) -> str:
    """Give the command that removes a host's old key."""
    return f"ssh-keygen -R {shlex.quote(way.known_as)} -f {_shell_path(way.known_hosts)}"


def _shell_path(file: str) -> str:
    """Quote a path, but let the shell expand a leading `~/`."""
    return f"~/{shlex.quote(file[2:])}" if file.startswith("~/") else shlex.quote(file)


def _ssh_words(error: SSHException, silent: tuple[str, str]) -> tuple[str, str]:
    """Tell paramiko's plain SSHExceptions apart by what it says: it has no classes for them."""
    if timed_out(error):
        return silent
    text = str(error)
    if "protocol banner" in text:
        return (
            "it closes connections before its first word",
            "its sshd may have too many of them (MaxStartups), or shut this address out for a while",
        )
    if "no acceptable host key" in text:
        return (
            "it has no host key of a kind that may be asked for",
            "HostKeyAlgorithms of ssh_config, or disabled_algorithms of connect_kwargs, leaves the others out",
        )
    return f"the connection failed: {text}", "its sshd's log says more"
