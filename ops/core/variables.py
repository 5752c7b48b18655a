"""Which KARAFKA_* variables mean something, so that a slip of the pen does not go by in silence."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

_PREFIX = "KARAFKA_"
NAMES = frozenset(
    f"{_PREFIX}{name}"
    for name in (
        # of whoever runs an app
        *("APP", "BROKERS", "CONCURRENCY", "ENV", "GROUPS", "INSTANCE_ID", "SANDBOX"),
        *("SECURITY_PROTOCOL", "SASL_MECHANISM", "SASL_USERNAME", "SASL_PASSWORD"),
        *("SSL_CAFILE", "SSL_CERTFILE", "SSL_KEYFILE"),
        *("SESSION_TIMEOUT_SECONDS", "HEARTBEAT_INTERVAL_SECONDS", "MAX_POLL_INTERVAL_SECONDS"),
        *("MESSAGE_TIMEOUT_SECONDS", "CONNECT_TIMEOUT_SECONDS", "DRAIN_TIMEOUT_SECONDS"),
        *("RETRIES", "RETRY_BACKOFF_SECONDS", "MAX_MESSAGE_BYTES"),
        # of whoever starts a process
        *(
            "COMMAND",
            "DESCRIBE",
            "FRESH_MEMBER",
            "LOG_FILE",
            "PIDFILE",
            "PROCESS",
            "SLOT_FD",
            "SLOT_LOCK",
            "STANDBY",
            "STARTED_BY",
            "STATUS_FILE",
        ),
        # of a deploy, its hooks, pipelines
        *("APPLICATION", "BRANCH", "ERROR", "FLOW", "HOOK", "HOSTS", "KNOWN_HOSTS", "LEASE", "PERFORMER"),
        *("PREVIOUS_RELEASE", "RELEASE", "REVISION", "STAGE", "GIT_USER", "GIT_PASSWORD"),
    )
)
_said: set[str] = set()


def unknown(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each variable that has our prefix and no meaning, with the nearest one that has; empty for none near."""
    for name in sorted(environ):
        if name.startswith(_PREFIX) and name not in NAMES:
            import difflib  # seldom needed, and an agent's start has to be quick

            yield name, next(iter(difflib.get_close_matches(name, NAMES, n=1, cutoff=0.8)), "")


def warn_of_unknown(environ: Mapping[str, str]) -> None:
    """Say in the log which variables have no effect, once in a process."""
    for name, nearest in unknown(environ):
        if name not in _said:
            _said.add(name)
            meant = f"; did you mean {nearest}?" if nearest else ""
            logging.getLogger(__name__).warning("%s has no meaning here and no effect%s", name, meant)
