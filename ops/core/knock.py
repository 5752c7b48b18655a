"""Whether a broker lets a client in: one connection through TCP, TLS and SASL, closed at once.

kafka-python 3.0.12 takes a wrong password, a certificate that nobody trusts and a listener of another kind for a broker
that is away: it tries again until its time is over, and the reason is in no error. So it is asked before a client is
made.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import socket
import ssl
import struct
from typing import TYPE_CHECKING

from ops.core.deadline import Deadline
from ops.core.errors import SettingsError, UnreachableError

if TYPE_CHECKING:
    from ops.core.brokers import Brokers

_METADATA, _HANDSHAKE, _AUTHENTICATE = 3, 17, 36
_UNSUPPORTED_MECHANISM = 33
_MOST_BYTES = 1 << 20
_HASHES = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
_MOST_ITERATIONS = 1_000_000
_CLOSED = "the connection was closed; is it a listener of another kind (KARAFKA_SECURITY_PROTOCOL)?"
_PROTOCOL_HINT = "check KARAFKA_SECURITY_PROTOCOL, and which listener the address is"


class RefusedError(UnreachableError):
    """Brokers that answered, and do not let this client in; trying again would not help."""


def knock(brokers: Brokers, address: str, seconds: float) -> None:
    """Connect to one broker as its clients do, up to the point where it would take requests.

    Raises
    ------
    OSError : it is not there, or keeps silent.
    RefusedError : it does not let the client in.
    SettingsError : a file of the settings cannot be used.
    """
    deadline = Deadline(seconds)
    context = tls_context(brokers) if brokers.security_protocol.endswith("SSL") else None
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    with socket.create_connection((host, int(port)), timeout=max(0.1, deadline.remaining)) as plain:
        plain.settimeout(max(0.1, deadline.remaining))
        if context is None:
            _enter(brokers, _Wire(plain, deadline, address))
            return
        try:
            with context.wrap_socket(plain, server_hostname=host.rstrip(".")) as sealed:
                _enter(brokers, _Wire(sealed, deadline, address))
        except ssl.SSLCertVerificationError as error:
            hint = "KARAFKA_SSL_CAFILE names the authority that issued it"
            raise RefusedError(
                f"the broker's certificate is refused: {error.verify_message}", where=address, hint=hint
            ) from None
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            raise ConnectionResetError(_CLOSED) from None
        except ssl.SSLError as error:
            raise _refused_by_tls(brokers, address, error) from None


def tls_context(brokers: Brokers) -> ssl.SSLContext:
    """Return how TLS is spoken; loads every file that the settings name.

    Raises
    ------
    SettingsError : one cannot be read, or holds something else; it names the variable.
    """
    context = ssl.create_default_context()
    try:
        if brokers.ssl_cafile:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(brokers.ssl_cafile)
    except OSError as error:  # ssl.SSLError is one, too
        raise _unusable("ssl_cafile", brokers.ssl_cafile, error, "certificates in PEM") from None
    if brokers.ssl_keyfile and not brokers.ssl_certfile:
        raise SettingsError("is of no use without KARAFKA_SSL_CERTFILE", where="KARAFKA_SSL_KEYFILE")
    if brokers.ssl_certfile:
        for name in ("ssl_certfile", "ssl_keyfile"):
            path = getattr(brokers, name)
            try:
                if path:
                    with open(path, "rb"):  # noqa: PTH123 - load_cert_chain does not say which of the two it means
                        pass
            except OSError as error:
                raise _unusable(name, path, error, "") from None
        try:
            # With a passphrase of ours OpenSSL does not ask for one on the terminal
            context.load_cert_chain(brokers.ssl_certfile, brokers.ssl_keyfile or None, password="")
        except (OSError, ValueError) as error:
            expected = "a certificate and its key in PEM, without a passphrase"
            raise _unusable("ssl_certfile", brokers.ssl_certfile, error, expected) from None
    return context


def _unusable(name: str, path: str, error: Exception, expected: str) -> SettingsError:
    reason = str(getattr(error, "strerror", None) or error)
    if isinstance(error, ssl.SSLError) or not isinstance(error, OSError):
        reason = f"expected {expected} ({getattr(error, 'reason', None) or error})"
    return SettingsError(f"{path}: {reason}", where=f"KARAFKA_{name.upper()}")


def _refused_by_tls(brokers: Brokers, address: str, error: ssl.SSLError) -> RefusedError:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "alert" in reason:
        hint = f"KARAFKA_SSL_CERTFILE is {brokers.ssl_certfile or 'not set'}"
        return RefusedError(f"the broker refuses this client's certificate: {reason}", where=address, hint=hint)
    return RefusedError(f"no TLS is spoken here: {reason}", where=address, hint=_PROTOCOL_HINT)


class _Wire:
    """Requests and answers on one connection, each with its length before it."""

    def __init__(self, stream: socket.socket, deadline: Deadline, address: str) -> None:
        self._stream = stream
        self._deadline = deadline
        self.address = address

    def ask(self, api: int, version: int, body: bytes) -> bytes:
        """Return what stands behind the header of the answer.

        Raises
        ------
        OSError : nothing, or nothing in time.
        RefusedError : it is an answer to something else.
        """
        request = struct.pack(">hhi", api, version, 1) + _text("karafka-ops") + body
        self._stream.settimeout(max(0.1, self._deadline.remaining))
        self._stream.sendall(struct.pack(">i", len(request)) + request)
        (size,) = struct.unpack(">i", self._read(4))
        if not 4 <= size <= _MOST_BYTES:
            raise RefusedError("something else than Kafka answered", where=self.address, hint=_PROTOCOL_HINT)
        return self._read(size)[4:]

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            if self._deadline.expired:  # each byte may come in time, and all of them never
                raise TimeoutError("timed out")
            self._stream.settimeout(max(0.1, self._deadline.remaining))
            part = self._stream.recv(size - len(found))
            if not part:
                raise ConnectionResetError(_CLOSED)
            found += part
        return found


def _enter(brokers: Brokers, wire: _Wire) -> None:
    """Say who the client is, where the listener wants to know it."""
    if not brokers.security_protocol.startswith("SASL"):
        # A client's certificate is refused by the first answer only, and who gave no password may ask for nothing else
        wire.ask(_METADATA, 1, struct.pack(">i", 0))
        return
    try:
        answer = wire.ask(_HANDSHAKE, 1, _text(brokers.sasl_mechanism))
        (code,) = struct.unpack_from(">h", answer)
        if code == _UNSUPPORTED_MECHANISM:
            offered = ", ".join(_texts(answer[2:]))
            raise RefusedError(
                f"the broker does not take {brokers.sasl_mechanism}, but {offered or 'nothing'}",
                where=wire.address,
                hint="KARAFKA_SASL_MECHANISM",
            )
        if code:
            raise RefusedError("no password is asked for here", where=wire.address, hint=_PROTOCOL_HINT)
        if brokers.sasl_mechanism in _HASHES:
            _scram(brokers, wire)
        else:
            _authenticate(brokers, wire, f"\0{brokers.sasl_username}\0{brokers.sasl_password}".encode())
    except (struct.error, ValueError, KeyError):
        raise RefusedError("something else than Kafka answered", where=wire.address, hint=_PROTOCOL_HINT) from None


def _scram(brokers: Brokers, wire: _Wire) -> None:
    """Prove the password without sending it (RFC 5802)."""
    name, nonce = _HASHES[brokers.sasl_mechanism], secrets.token_hex(16)
    user = brokers.sasl_username.replace("=", "=3D").replace(",", "=2C")
    first = f"n={user},r={nonce}"
    offered = _authenticate(brokers, wire, f"n,,{first}".encode()).decode()
    parts = dict(part.split("=", 1) for part in offered.split(","))
    iterations = int(parts["i"])
    if not parts["r"].startswith(nonce) or not 0 < iterations <= _MOST_ITERATIONS:
        raise ValueError(offered)
    password = brokers.sasl_password.encode()
    salted = hashlib.pbkdf2_hmac(name, password, base64.b64decode(parts["s"]), iterations)
    key = hmac.digest(salted, b"Client Key", name)
    last = f"c=biws,r={parts['r']}"
    signature = hmac.digest(hashlib.new(name, key).digest(), f"{first},{offered},{last}".encode(), name)
    proven = int.from_bytes(key, "big") ^ int.from_bytes(signature, "big")
    proof = base64.b64encode(proven.to_bytes(len(key), "big")).decode()
    _authenticate(brokers, wire, f"{last},p={proof}".encode())


def _authenticate(brokers: Brokers, wire: _Wire, token: bytes) -> bytes:
    """Send one step of a mechanism; return the broker's."""
    answer = wire.ask(_AUTHENTICATE, 0, struct.pack(">i", len(token)) + token)
    (code,) = struct.unpack_from(">h", answer)
    (size,) = struct.unpack_from(">h", answer, 2)
    said = answer[4 : 4 + max(0, size)].decode(errors="replace")
    if code:
        raise RefusedError(
            f"the broker refuses user {brokers.sasl_username!r}: {said or f'error {code}'}",
            where=wire.address,
            hint="check KARAFKA_SASL_USERNAME, KARAFKA_SASL_PASSWORD and KARAFKA_SASL_MECHANISM",
        )
    return answer[4 + max(0, size) + 4 :]


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def _texts(raw: bytes) -> list[str]:
    (count,), at, found = struct.unpack_from(">i", raw), 4, []
    for _ in range(count):
        (size,) = struct.unpack_from(">h", raw, at)
        found.append(raw[at + 2 : at + 2 + size].decode())
        at += 2 + size
    return found
