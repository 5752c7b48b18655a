"""Users and passwords within URLs, `scheme://user:password@host`, wherever they stand in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})\Z")
_USER_ONLY = ("ssh", "sftp", "rsync", "scp")  # their part before the @ is a user: keys are elsewhere
_TOKEN_FIRST = ("http", "https", "ftp", "ftps")  # there the user may be the token
_NO_PASSWORDS = ("x-oauth-basic", "x", "oauth2", "token")  # what stands beside a token that is the user
_PORT = 5  # digits


def secrets_of(text: str) -> Iterator[str]:
    """Yield users and passwords, also where a password has characters that should have been encoded."""
    before, *rests = text.split("://")
    for rest in rests:
        scheme = _SCHEME.search(before[-32:])
        before = rest
        rest = re.split(r"[\s\"'<>]", rest, maxsplit=1)[0][:2000]
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        if "@" not in authority and _is_host(authority):
            continue
        for at in [index for index, one in enumerate(rest) if one == "@"][:8]:
            yield from _of_userinfo(scheme[1].lower() if scheme else "", rest[:at])


def _of_userinfo(scheme: str, info: str) -> Iterator[str]:
    user, colon, password = info.partition(":")
    if password:
        yield password
        yield info
    kind = scheme.rpartition("+")[2]
    if kind in _USER_ONLY or not user:
        return
    if not colon or not password or password in _NO_PASSWORDS or (kind in _TOKEN_FIRST and _is_token(user)):
        yield user


def _is_token(user: str) -> bool:
    return len(user) >= 16 and any(one.isdigit() for one in user)


def _is_host(authority: str) -> bool:
    name, colon, port = authority.partition(":")
    return (not colon or port.isdigit()) and ("." in name or name == "localhost")


def without_userinfo(text: str, mask: str) -> str:
    """Give a text without what stands before the host in its URLs; each character is looked at a few times at most."""
    before, *rests = text.split("://")
    shown = [before]
    for rest in rests:
        end = next((found.start() for found in re.finditer(r"[\s\"'<>]", rest)), len(rest))
        scheme = _SCHEME.search(before[-32:])
        kind = (scheme[1] if scheme else "").lower().rpartition("+")[2]
        shown.append(_shown(kind, rest[:end], mask) + rest[end:])
        before = rest
    return "://".join(shown)


def _shown(kind: str, address: str, mask: str) -> str:
    authority = re.split(r"[/?#]", address, maxsplit=1)[0]
    name, colon, port = authority.partition(":")
    if colon and "@" not in name and not (port.isdigit() and len(port) <= _PORT):
        at = address.rfind("@")  # a password may have characters that should have been encoded
    else:
        at = authority.rfind("@")
    user, colon, _ = address[: max(at, 0)].partition(":")
    if at < 0 or (not colon and kind in _USER_ONLY):
        return address
    return f"{f'{user}:' if colon and kind not in _TOKEN_FIRST else ''}{mask}{address[at:]}"
