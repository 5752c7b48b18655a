"""Times that somebody types."""

from __future__ import annotations

from datetime import datetime

import pytest

from ops.core.errors import UsageError
from ops.core.since import seconds_since

NOW = datetime(2026, 1, 31, 10, 0).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("10m", 600), ("1.5h", 5400), ("2d", 172_800), ("2026-01-31T09:30", 1800), ("2026-01-31", 36_000)],
)
def test_a_time_is_read_as_how_long_ago(text: str, seconds: float) -> None:
    # Then spans and local times are understood
    assert seconds_since(text, NOW) == seconds


def test_a_zone_is_heeded() -> None:
    # Then a time with a zone is that one
    now = datetime.fromisoformat("2026-01-31T10:00:00+00:00").timestamp()
    assert seconds_since("2026-01-31T10:30:00+01:00", now) == 1800


@pytest.mark.parametrize("text", ["yesterday", "10", "m", "-5m", "2999-01-01"])
def test_what_is_none_or_yet_to_come_is_refused(text: str) -> None:
    # Then it is a wrong usage
    with pytest.raises(UsageError):
        seconds_since(text, NOW)
