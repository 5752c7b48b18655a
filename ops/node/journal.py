"""The journal of a unit: what its processes said, and what systemd said of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ops.core import systemd
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.node.logtail import cut
from ops.node.systemctl import Systemctl

_READ_SECONDS = 10.0
_ARRIVE_SECONDS = 1.0  # how long the last lines of a process that has ended may be under way


def tail(systemctl: Systemctl, unit: str, lines: int, *, since: float) -> tuple[str, ...]:
    """Give the last lines that a unit's processes wrote; where they wrote none, what systemd itself said.

    Parameters
    ----------
    since : leave out what was written before this time, seconds since 1970 by the host's clock.
    """
    if lines <= 0:
        return ()
    try:
        entries = Deadline(_ARRIVE_SECONDS).poll(lambda: _own(_read(systemctl, unit, since), unit), every=0.1)
        found = entries or list(_read(systemctl, unit, since))
    except OpsError as error:
        return (f"its journal cannot be read: {error.what}",)
    return tuple(cut(line) for entry in found for line in _text(entry).splitlines())[-lines:]


def _own(entries: Iterator[dict[str, Any]], unit: str) -> list[dict[str, Any]]:
    """Take what the processes themselves wrote; what systemd says of them has their unit in another field."""
    return [entry for entry in entries if unit in (entry.get("_SYSTEMD_UNIT"), entry.get("_SYSTEMD_USER_UNIT"))]


def _read(systemctl: Systemctl, unit: str, since: float) -> Iterator[dict[str, Any]]:
    for line in systemctl.run(systemd.journal(unit), unit, Deadline(_READ_SECONDS)).splitlines():
        entry: Any = json.loads(line)
        if isinstance(entry, dict) and int(entry.get("__REALTIME_TIMESTAMP", 0)) >= since * 1e6:
            yield entry


def _text(entry: dict[str, Any]) -> str:
    """Give an entry's message, which journalctl gives as numbers where it is no UTF-8; null where it is too long."""
    message = entry.get("MESSAGE")
    return bytes(message).decode(errors="replace") if isinstance(message, list) else str(message or "")
