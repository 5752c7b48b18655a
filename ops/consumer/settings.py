"""The consumer's settings: KARAFKA_* variables of its environment, checked whole before anything is connected."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ops.core.brokers import Brokers
from ops.core.errors import SettingsError

_INSTANCE = re.compile(r"[A-Za-z0-9._-]{1,249}")

_DYNAMIC_SESSION_SECONDS = 10.0


@dataclass(frozen=True)
class ConsumerSettings:
    """One attribute a variable: `session_timeout_seconds` is KARAFKA_SESSION_TIMEOUT_SECONDS.

    Attributes
    ----------
    brokers : KARAFKA_BROKERS and the security variables.
    instance_id : group.instance.id, stable for a slot; empty for a dynamic member.
    session_timeout_seconds : how long the brokers keep a silent member; longer than a restart takes at worst. Without
        an instance id 10 s: a dynamic member's place is nobody's, and the others wait that long for a dead one.
    heartbeat_interval_seconds : how often it tells them that it is there; at most a third of the session.
    max_poll_interval_seconds : how long the brokers wait for a member in a rebalance.
    message_timeout_seconds : the time limit of one message in work; below max_poll_interval_seconds.
    connect_timeout_seconds : how long a start waits for a broker.
    retries : how often a failed message is tried again before it goes to the dead-letter topic.
    retry_backoff_seconds : before the first retry; four times as long before each further one.
    max_message_bytes : largest message that is sent.
    status_file : where the status record is written; empty for nowhere.
    log_file : what stdout and stderr are opened on anew at SIGHUP; empty for nothing.
    fresh_member : groups, separated by commas, that the static member is removed from right before it joins; the
        operator's word for one takeover.
    """

    brokers: Brokers
    instance_id: str = ""
    session_timeout_seconds: float = 60.0
    heartbeat_interval_seconds: float = 0.5
    max_poll_interval_seconds: float = 300.0
    message_timeout_seconds: float = 60.0
    connect_timeout_seconds: float = 30.0
    retries: int = 3
    retry_backoff_seconds: float = 0.1
    max_message_bytes: int = 10 * 1024 * 1024
    status_file: str = ""
    log_file: str = ""
    fresh_member: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ConsumerSettings:
        """Read and check them.

        Raises
        ------
        SettingsError : a variable is missing or makes no sense; it names the variable and the value.
        """
        given: dict[str, Any] = {"brokers": Brokers.from_environment(environ)}
        for item in fields(cls):
            variable = variable_of(item.name)
            raw = environ.get(variable, "").strip()
            if raw and item.name not in given:
                given[item.name] = _READERS[str(item.type)](raw, variable)
        if not given.get("instance_id"):
            given.setdefault("session_timeout_seconds", _DYNAMIC_SESSION_SECONDS)
        settings = cls(**given)
        settings._check()
        return settings

    def _check(self) -> None:
        """Check what belongs together."""
        self._require(
            self.message_timeout_seconds < self.max_poll_interval_seconds,
            "message_timeout_seconds",
            f"must be below KARAFKA_MAX_POLL_INTERVAL_SECONDS ({self.max_poll_interval_seconds:g}): "
            "a revocation waits for the messages in work",
        )
        self._require(
            self.heartbeat_interval_seconds * 3 <= self.session_timeout_seconds,
            "heartbeat_interval_seconds",
            f"must be at most a third of KARAFKA_SESSION_TIMEOUT_SECONDS ({self.session_timeout_seconds:g})",
        )
        self._require(
            not self.instance_id or bool(_INSTANCE.fullmatch(self.instance_id)),
            "instance_id",
            "must be 1 to 249 letters, digits, dots, underscores or hyphens",
        )

    def _require(self, holds: bool, name: str, expectation: str) -> None:
        if not holds:
            value = getattr(self, name)
            raise SettingsError(f"{expectation}, got {value!r}", where=variable_of(name))


def variable_of(name: str) -> str:
    """Give the environment variable of a setting."""
    return f"KARAFKA_{name.upper()}"


def _number(convert: Callable[[str], float], kind: str, *, zero: bool) -> Callable[[str, str], float]:
    def read(raw: str, variable: str) -> float:
        try:
            value = convert(raw)
        except ValueError:
            raise SettingsError(f"expected {kind}, got {raw!r}", where=variable) from None
        if not (0 <= value < float("inf")) or (value == 0 and not zero):
            raise SettingsError(f"expected a positive number, got {raw!r}", where=variable)
        return value

    return read


_READERS: dict[str, Callable[[str, str], Any]] = {
    "str": lambda raw, _: raw,
    "float": _number(float, "seconds", zero=False),
    "int": _number(int, "a whole number", zero=True),
}
