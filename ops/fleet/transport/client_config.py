"""What OpenSSH's client would do to reach one host."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from collections.abc import Callable, Mapping
from typing import Any

from ops.core.accounts import home_path, user_name
from ops.core.records import dataclass

_TOKEN = re.compile(r"%(.)")
_VARIABLE = re.compile(r"\$\{([A-Za-z0-9_]+)\}")
DEFAULT_KEYS = frozenset(
    f"~/.ssh/id_{kind}" for kind in ("rsa", "ecdsa", "ecdsa_sk", "ed25519", "ed25519_sk", "xmss", "dsa")
)
# What decides who is reached or who is let in, and is not done here.
_UNSUPPORTED = {
    "checkhostip": "host keys are looked up by name alone",
    "proxyusefdpass": "the ProxyCommand has to carry the connection itself",
    "bindinterface": "connections leave by the interface that the system chooses",
    "hostbasedauthentication": "logging in as a host is not possible here",
    "knownhostscommand": "host keys are looked up in files alone",
    "pkcs11provider": "its keys are not tried; load them into ssh-agent",
    "verifyhostkeydns": "host keys are looked up in files alone, not in DNS",
}
_OFF = ("", "no", "none", "false")


@dataclass(frozen=True)
class ClientConfig:
    """What ssh would do to reach one host.

    Attributes
    ----------
    name : the host as it was asked for: what `Host` lines are compared with.
    host : what is connected to.
    options : all that `ssh -G` says, in its words; lists of files as tuples.
    """

    name: str
    host: str
    port: int
    user: str
    options: Mapping[str, Any]

    def text(self, key: str) -> str:
        """Give an option's text, empty for one that is off or not set."""
        value = str(self.options.get(key) or "")
        return "" if value.lower() in _OFF else value

    def is_on(self, key: str, default: bool = False) -> bool:
        """Whether a yes-or-no option is on."""
        value = str(self.options.get(key, "")).lower()
        return value in ("yes", "true") if value else default

    def seconds(self, key: str) -> float | None:
        """Give an option of seconds; None where it is not set."""
        value = self.text(key)
        return float(value) if value.replace(".", "", 1).isdigit() else None

    def algorithms(self, key: str) -> tuple[str, ...]:
        """Return an option's algorithms; none where it is not set, or changes a default that only ssh knows."""
        text = self.text(key)
        return () if text.startswith(("+", "-", "^")) else tuple(one for one in text.split(",") if one)

    def files(self, key: str) -> tuple[str, ...]:
        """Give an option's files, as paths."""
        value = self.options.get(key) or ()
        names = value if isinstance(value, tuple) else tuple(_paths(str(value)))
        return tuple(self.path(name) for name in names if name.lower() != "none")

    @property
    def identity_files(self) -> tuple[str, ...]:
        """The keys that ssh_config names for it."""
        return tuple(self.path(name) for name in self._identities if name not in DEFAULT_KEYS)

    @property
    def default_files(self) -> tuple[str, ...]:
        """The keys that are tried where ssh_config names none."""
        return tuple(self.path(name) for name in self._identities if name in DEFAULT_KEYS)

    @property
    def unsupported(self) -> tuple[str, ...]:
        """What is set for it that is not done here though it matters, in words."""
        return tuple(f"{key}: {why}" for key, why in _UNSUPPORTED.items() if self.text(key))

    @property
    def _identities(self) -> tuple[str, ...]:
        return tuple(name for name in self.options.get("identityfile") or () if name.lower() != "none")

    def path(self, name: str) -> str:
        """Give a file's name with its tokens, variables and the home folder in their places."""
        text = _VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), self.expand(name))
        return home_path(text)

    def expand(self, text: str) -> str:
        """Put the values of ssh_config's tokens in their places (ssh_config(5), TOKENS)."""
        return _TOKEN.sub(lambda found: self._token(found[1], found[0]), text)

    def _token(self, letter: str, whole: str) -> str:
        values: dict[str, Callable[[], str]] = {
            "%": lambda: "%",
            "h": lambda: self.host,
            "n": lambda: self.name,
            "p": lambda: str(self.port),
            "r": lambda: self.user,
            "u": user_name,
            "d": lambda: home_path("~"),
            "i": lambda: str(os.getuid()),
            "j": lambda: self.text("proxyjump"),
            "k": lambda: self.text("hostkeyalias") or self.name,
            "l": socket.getfqdn,
            "L": lambda: socket.gethostname().partition(".")[0],
            "C": self._digest,
        }
        return values[letter]() if letter in values else whole

    def _digest(self) -> str:
        parts = (socket.getfqdn(), self.host, str(self.port), self.user, self.text("proxyjump"))
        return hashlib.sha1("".join(parts).encode(), usedforsecurity=False).hexdigest()


def _paths(text: str) -> list[str]:
    """Take a list of files apart; ssh puts blanks between them and shows none that belongs to a name."""
    found: list[str] = []
    words = text.split(" ")
    while words:
        whole = [" ".join(words[:end]) for end in range(len(words), 0, -1)]
        taken = next((one for one in whole if os.path.exists(home_path(one))), words[0])  # noqa: PTH110  twice as quick
        found.append(taken)
        words = words[taken.count(" ") + 1 :]
    return [one for one in found if one]
