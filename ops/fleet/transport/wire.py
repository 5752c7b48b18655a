"""Paramiko's end of a connection, for many of them at once: fewer system calls, threads and wakings for each.

What is sent, and what is refused, is all paramiko's own.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from paramiko import Transport
from paramiko.packet import Packetizer

from ops.core.deadline import Deadline

_LOOK_SECONDS = 1.0  # paramiko looks 10 times a second whether it is to end; what ends it here wakes it
_PIECE_BYTES = 1 << 15


class Wire(Transport):
    """Asks for AES-GCM first: one pass encrypts and authenticates, where paramiko's own first choice takes two.

    An upload to many hosts is bound by both sides' CPU: see `python -m bench.deploy`. And it asks for the kinds of host
    keys first that can be trusted, for certificates where an authority is known, and not otherwise; for no kind that
    HostKeyAlgorithms of ssh_config leaves out.
    """

    _preferred_ciphers = tuple(
        sorted(Transport._preferred_ciphers, key=lambda name: "-gcm@" not in name)  # type: ignore[attr-defined]
    )
    trusted: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()
    shows_certificates = False

    def __init__(self, sock: Any, **kwargs: Any) -> None:
        super().__init__(sock, packetizer_class=Packets, **kwargs)

    @property
    def preferred_keys(self) -> Sequence[str]:
        possible = [one for one in super().preferred_keys if not self.allowed or one in self.allowed]
        first = [one for one in self.trusted if one in possible]
        return (*first, *(one for one in possible if one not in first and "-cert-" not in one)) or possible

    def _really_parse_kex_init(self, m: Any, ignore_first_byte: bool = False) -> Any:
        parsed = super()._really_parse_kex_init(m, ignore_first_byte)  # type: ignore[misc]
        self.shows_certificates = any("-cert-" in one for one in parsed["server_key_algo_list"])
        return parsed

    def _filter_algorithm(self, type_: str) -> Any:
        if self.disabled_algorithms:
            return super()._filter_algorithm(type_)  # type: ignore[misc]
        return getattr(self, f"_preferred_{type_}")

    def _parse_debug(self, m: Any) -> None:
        if self.logger.isEnabledFor(logging.DEBUG):  # sshd says a lot, byte by byte
            super()._parse_debug(m)  # type: ignore[misc]


def settle(transport: Transport) -> None:
    """Let a connection look seldom from here on whether it is to end: the log-in is done, none of its waits is late."""
    transport.sock.settimeout(_LOOK_SECONDS)


class Packets(Packetizer):
    """Packets whose handshake is timed without a thread of its own."""

    def __init__(self, sock: Any) -> None:
        super().__init__(Ahead(sock))  # type: ignore[arg-type]
        self._handshake: Deadline | None = None
        self._shaken = False

    def start_handshake(self, timeout: float) -> None:
        self._handshake = self._handshake or Deadline(timeout)

    def handshake_timed_out(self) -> bool:
        return not self._shaken and self._handshake is not None and self._handshake.expired

    def complete_handshake(self) -> None:
        self._shaken = self._shaken or self._handshake is not None


class Ahead:
    """A socket that is read ahead: paramiko asks for a packet in pieces."""

    def __init__(self, sock: Any) -> None:
        self.send = sock.send
        self.close = sock.close
        self._sock = sock
        self._data = b""
        self._at = 0

    def recv(self, count: int) -> bytes:
        """Return some bytes, none at the end; as a socket's own."""
        if self._at == len(self._data):
            data = self._sock.recv(max(count, _PIECE_BYTES))
            if len(data) <= count:
                return bytes(data)
            self._data, self._at = data, 0
        part = self._data[self._at : self._at + count]
        self._at += len(part)
        return part
