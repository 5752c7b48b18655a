"""A git repository's address, apart from the secret in it, which git gets by its environment."""

from __future__ import annotations

import re
from urllib.parse import unquote, urlsplit

from ops.core.records import dataclass

_ADDRESS = re.compile(r"(?P<scheme>(?:https?|ftps?|ssh|git|[a-z]+\+[a-z]+)://)(?P<rest>\S*)", re.IGNORECASE)
_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?", re.ASCII)
_WITH_PASSWORD = ("http://", "https://", "ftp://", "ftps://")
_USER, _PASSWORD = "KARAFKA_GIT_USER", "KARAFKA_GIT_PASSWORD"
# Read by git's own shell: what it prints is on a pipe, and a builtin of the shell prints it.
_HELPER = f'!f() {{ test "$1" = get && printf \'username=%s\\npassword=%s\\n\' "${_USER}" "${_PASSWORD}"; }}; f'


@dataclass(frozen=True)
class Repository:
    """Where a repository is, and who asks for it.

    Attributes
    ----------
    address : without a secret, as it may stand in argv, in a message and in the settings of a clone.
    user, password : decoded; empty for none.
    """

    address: str
    user: str = ""
    password: str = ""

    @property
    def options(self) -> tuple[str, ...]:
        """Options of git, before its command: whom it asks for user and password, for this host alone."""
        if not self.user and not self.password:
            return ()
        parts = urlsplit(self.address)
        place = f"{parts.scheme}://{parts.netloc}"
        return ("-c", "credential.helper=", "-c", f"credential.{place}.helper={_HELPER}")

    @property
    def environment(self) -> dict[str, str]:
        """What the helper reads; an environment is its user's alone, argv everybody's."""
        return {_USER: self.user, _PASSWORD: self.password} if self.options else {}


def repository_of(source: str) -> Repository:
    """Take an address apart.

    A password with / ? # @ that should have been encoded is taken as it was meant, where it can be told. SSH has its
    own keys: a password is left out, the user stays.
    """
    match = _ADDRESS.fullmatch(source)
    info = _userinfo(match["rest"]) if match else ""
    if match is None or not info:
        return Repository(source)
    scheme, rest = match["scheme"], match["rest"][len(info) + 1 :]
    user, _, password = info.partition(":")
    if scheme.lower() not in _WITH_PASSWORD:
        return Repository(f"{scheme}{user}@{rest}")
    user, password = unquote(user), unquote(password)
    if "\n" in user + password or "\0" in user + password:  # git takes a line each
        return Repository(f"{scheme}{rest}")
    return Repository(f"{scheme}{rest}", user, password)


def _userinfo(rest: str) -> str:
    """Give what stands before the host; empty for nothing."""
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if "@" in authority:
        return _before_host(rest, authority.rindex("@")) or authority.rpartition("@")[0]
    if ":" not in authority or re.fullmatch(r"[^:]*:[0-9]*", authority, re.ASCII):
        return ""
    return _before_host(rest, 0)


def _before_host(rest: str, start: int) -> str:
    """Give what stands before the first @ from `start` on that a host follows."""
    for found in re.finditer("@", rest):
        host = re.split("[/?#]", rest[found.end() :], maxsplit=1)[0]
        if found.start() >= start and _HOST.fullmatch(host):
            return rest[: found.start()]
    return ""
