"""A time that somebody types: how long ago, or which one."""

from __future__ import annotations

import re
from datetime import datetime

from ops.core.errors import UsageError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_since(text: str, now: float, where: str = "--since") -> float:
    """Give how long ago a time is: `90s`, `10m`, `2h`, `1d`, or ISO 8601 (without a zone the local one).

    Parameters
    ----------
    now : seconds since 1970.

    Raises
    ------
    UsageError : it is neither, or yet to come.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]+)?)([smhd])", text.strip())
    if match:
        return float(match[1]) * _UNITS[match[2]]
    try:
        seconds = now - datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        raise UsageError(
            f"expected how long ago (10m, 2h) or a time (2026-01-31T09:30), got {text!r}", where=where
        ) from None
    if seconds < 0:
        raise UsageError(f"{text} is yet to come", where=where)
    return seconds
