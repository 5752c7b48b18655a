"""What a gate waits for, told every few seconds: a wait without a word looks like one that hangs."""

from __future__ import annotations

import time
from collections.abc import Callable

from ops.core.verdict import Judgement

EVERY_SECONDS = 5.0
_SHOWN = 2


class Waiting:
    """Tells what one gate waits for.

    Parameters
    ----------
    name : `the gate after batch 1`.
    say : is told a line.
    clock : seconds that only go forward.
    """

    def __init__(self, name: str, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._say = say
        self._clock = clock
        self._began = self._said = clock()

    def hear(self, judgement: Judgement) -> None:
        """Take what the cluster's host says while it waits."""
        reasons = [one.pending or one.text for one in judgement.reasons]
        more = len(reasons) - _SHOWN
        if reasons:
            self._tell("; ".join(reasons[:_SHOWN]) + (f"; and {more} more" if more > 0 else ""))

    def settles(self, seconds: float) -> None:
        """Take that all is well so far, and is looked at for so many seconds more."""
        self._tell(f"all is well so far, looked at for {seconds:.0f} s more (rollout.settle_seconds)")

    def _tell(self, text: str) -> None:
        now = self._clock()
        if now - self._said >= EVERY_SECONDS:
            self._said = now
            self._say(f"{self._name} waits, for {now - self._began:.0f} s now: {text}")
