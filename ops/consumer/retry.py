"""When a failed message is tried again."""

from __future__ import annotations

from dataclasses import dataclass

FACTOR = 4.0


@dataclass(frozen=True)
class RetryPolicy:
    """How often, and after which waits.

    Attributes
    ----------
    retries : tries after the first.
    first_seconds : wait before the first of them; each further one waits four times as long.
    """

    retries: int = 3
    first_seconds: float = 0.1

    def wait_seconds(self, failures: int) -> float | None:
        """Give the wait after so many failures (1 or more); None when it has failed for good."""
        return None if failures > self.retries else self.first_seconds * FACTOR ** (failures - 1)
