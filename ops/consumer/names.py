"""Names of topics and groups, and how the app's names map to the cluster's."""

from __future__ import annotations

import re
from typing import Protocol

from ops.consumer.errors import InvalidNameError

_NAME = re.compile(r"[\w.-]+", re.ASCII)  # what Kafka itself accepts in a topic's name


def checked_name(name: str, kind: str) -> str:
    """Give the name back if it may be one.

    Raises
    ------
    InvalidNameError : it holds anything but letters, digits, `_`, `.` and `-`.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidNameError(
            f"{name!r} is no name for a {kind}", hint="letters, digits, underscore, dot and hyphen are allowed"
        )
    return name


class TopicMapper(Protocol):
    """Translates topic names at the boundary: routes and responders never see the cluster's names."""

    def incoming(self, topic: str) -> str:
        """Give the app's name of a topic of the cluster."""

    def outgoing(self, topic: str) -> str:
        """Give the cluster's name of a topic of the app."""


class SameName:
    """The mapper that changes nothing."""

    def incoming(self, topic: str) -> str:
        """Give the name back."""
        return topic

    def outgoing(self, topic: str) -> str:
        """Give the name back."""
        return topic
