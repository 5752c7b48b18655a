"""One known_hosts file, and which of its lines are about a host.

sshd(8), SSH_KNOWN_HOSTS FILE FORMAT: names that are plain, patterns, negated or hashed; @revoked; @cert-authority.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path

from ops.core.records import dataclass
from ops.fleet.transport.certificates import type_of

REVOKED, AUTHORITY = "@revoked", "@cert-authority"
_BLANKS = re.compile(r"[ \t]+")
_PATTERN = re.compile(r"[*?!]")


@dataclass(frozen=True)
class Entry:
    """One line of a known_hosts file.

    Attributes
    ----------
    marker : `@revoked`, `@cert-authority`, or nothing.
    names : its first field as it stands there.
    key : the key in SSH's wire format.
    """

    marker: str
    names: str
    key: bytes


class HostsFile:
    """The lines of one file; those with plain names are found by these: a fleet's file has one a host.

    Parameters
    ----------
    entries : in their order, which counts.
    """

    def __init__(self, entries: tuple[Entry, ...]) -> None:
        self._entries = entries
        self._plain: dict[str, list[int]] = {}
        self._others: list[tuple[int, Callable[[str], bool]]] = []
        for number, entry in enumerate(entries):
            if entry.names.startswith("|"):
                self._others.append((number, _hashed(entry.names)))
            elif _PATTERN.search(entry.names):
                self._others.append((number, partial(_means, entry.names.lower().split(","))))
            else:
                for name in set(entry.names.lower().split(",")):
                    self._plain.setdefault(name, []).append(number)

    def about(self, name: str) -> Iterator[Entry]:
        """Return the lines that mean a host, whose name is in lower case."""
        others = [number for number, is_meant in self._others if is_meant(name)]
        return (self._entries[number] for number in sorted((*self._plain.get(name, ()), *others)))


def read_hosts(path: Path) -> HostsFile:
    """Return the lines of a file; none where there is no file.

    Raises
    ------
    OSError : it is there and can't be read.
    """
    try:
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return HostsFile(())
    return HostsFile(tuple(_lines(data.decode(errors="surrogateescape"))))


def _lines(text: str) -> Iterator[Entry]:
    for line in text.split("\n"):
        fields = _BLANKS.split(line.strip(" \t\r"))
        marker = fields.pop(0) if fields[0] in (REVOKED, AUTHORITY) else ""
        if len(fields) < 3 or fields[0][0] in "#@":
            continue
        for key in key_of(fields[1:3]):
            yield Entry(marker, fields[0], key)


def key_of(fields: list[str]) -> tuple[bytes, ...]:
    """Read a key's kind and text; none where they are garbage or do not fit each other."""
    try:
        key = base64.b64decode(fields[1], validate=True)
    except (binascii.Error, ValueError, IndexError):
        return ()
    return (key,) if type_of(key) == fields[0] else ()


def _means(patterns: Sequence[str], name: str) -> bool:
    """Whether a line's patterns, in lower case, mean a host."""
    found = False
    for pattern in patterns:
        negated = pattern.startswith("!")
        if _like(name, pattern[negated:]):
            if negated:
                return False
            found = True
    return found


def _like(name: str, pattern: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return name == pattern
    return _expression(pattern).fullmatch(name) is not None


@lru_cache(4096)
def _expression(pattern: str) -> re.Pattern[str]:
    parts = {"*": ".*", "?": "."}
    return re.compile("".join(parts.get(one) or re.escape(one) for one in re.sub(r"\*+", "*", pattern)), re.DOTALL)


def _hashed(names: str) -> Callable[[str], bool]:
    """Return what tells whether a line's hashed name is a host's."""
    try:
        _, kind, salt, digest = names.split("|")
        key, wanted = base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)
    except (ValueError, binascii.Error):
        kind = ""
    if kind != "1":
        return lambda _: False
    return lambda name: hmac.compare_digest(hmac.digest(key, name.encode(errors="surrogateescape"), "sha1"), wanted)
