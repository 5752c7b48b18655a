"""The status record: a JSON file that says how the process is, for people and for the agent on the host."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from ops.core.identity import start_ticks

log = logging.getLogger(__name__)

State = Literal["starting", "running", "handing over", "draining", "stopped"]

_EVERY_SECONDS = 1.0
_ANYWAY_SECONDS = 5.0  # an unchanged record is written so often: one that is older is of a process that stands still


class StatusRecord:
    """Writes the record, whole or not at all; that it cannot be written is a log line, never a reason to stop.

    Its `boot_seconds` is the host's boot clock (CLOCK_BOOTTIME), so that its age is right whatever is done to the time
    of day.

    Parameters
    ----------
    path : the file; empty for none.
    traits : what never changes of the process.
    """

    def __init__(self, path: str, traits: Mapping[str, Any] | None = None) -> None:
        self._path = Path(path) if path else None
        self._traits = dict(traits or {})
        self._state: State | None = None
        self._text = ""
        self._written_at = 0.0
        self._failing = False
        self._start = start_ticks(os.getpid())

    def write(self, state: State, facts: Callable[[], dict[str, Any]]) -> None:
        """Write it if the state is a new one, if anything has changed and a second has passed, or if five have."""
        if self._path is None:
            return
        now = time.monotonic()
        if state == self._state and now - self._written_at < _EVERY_SECONDS:
            return
        groups = facts()
        text = json.dumps({"state": state, "groups": groups}, sort_keys=True)
        if text == self._text and now - self._written_at < _ANYWAY_SECONDS:
            return
        owner = {"pid": os.getpid(), "start": self._start, **self._traits}
        record = {**owner, "state": state, "at": time.time(), "boot_seconds": _boot_seconds(), "groups": groups}
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        self._state, self._written_at = state, now
        try:
            temporary.write_text(json.dumps(record) + "\n")
            temporary.replace(self._path)
        except OSError as error:
            if not self._failing:
                log.warning("the status record %s cannot be written: %s", self._path, error)
            self._failing = True
            with contextlib.suppress(OSError):
                temporary.unlink()
        else:
            self._failing = False
            self._text = text


def _boot_seconds() -> float:
    return round(time.clock_gettime(time.CLOCK_BOOTTIME), 3)
