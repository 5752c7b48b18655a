"""A manager without processes, for tests of what stands above one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ops.core.amounts import in_seconds
from ops.core.process import already_on
from ops.core.protocol import ProcessReport, ProcessSpec
from ops.core.states import State
from ops.core.strenum import StrEnum
from ops.node import outdated


class Behaviour(StrEnum):
    """What a command would do."""

    SERVES = "serves"
    EXITS = "exits"  # with 3, at once, after one line in its log
    NEVER_READY = "never-ready"
    IGNORES_TERM = "ignores-term"


@dataclass
class _Place:
    pid: int | None = None
    starts: int = 0
    pidfile: bool = False
    release: str = ""
    failed: bool = False


class FakeManager:
    """Keeps the promises of `Manager` in memory.

    Parameters
    ----------
    behaviours : by process name; others serve.
    """

    def __init__(self, behaviours: Mapping[str, Behaviour] | None = None) -> None:
        self.behaviours = dict(behaviours or {})
        self._places: dict[str, _Place] = {}
        self._pids = itertools.count(1000)

    def kill(self, name: str) -> None:
        """Let its process die behind the manager's back, as kill -9 does."""
        self._places[name].pid = None

    def status(self, spec: ProcessSpec) -> ProcessReport:
        """Report how a process is."""
        place = self._place(spec)
        restarts = max(place.starts - 1, 0)
        if place.pid is not None:
            return ProcessReport(
                spec.name, State.RUNNING, pid=place.pid, uptime_seconds=0.0, release=place.release, restarts=restarts
            )
        state = State.DEAD if place.pidfile or place.failed else State.STOPPED
        return ProcessReport(spec.name, state, restarts=restarts)

    def statuses(self, specs: Sequence[ProcessSpec]) -> tuple[ProcessReport, ...]:
        """Report how several processes are."""
        return tuple(map(self.status, specs))

    def start(self, spec: ProcessSpec) -> ProcessReport:
        """Make it run and ready."""
        place = self._place(spec)
        if place.pid is not None:
            return replace(self.status(spec), message="already running")
        place.starts += 1
        place.pidfile = False
        behaviour = self.behaviours.get(spec.name, Behaviour.SERVES)
        place.failed = behaviour in (Behaviour.EXITS, Behaviour.NEVER_READY)
        if behaviour is Behaviour.EXITS:
            return replace(self.status(spec), ok=False, message="it exited with 3 after 0.0 s", log=("exiting",))
        if behaviour is Behaviour.NEVER_READY:
            text = f"it was not ready within {in_seconds(spec.start_timeout_seconds)}; ended after 0.0 s"
            return replace(self.status(spec), ok=False, message=text)
        place.pid, place.pidfile, place.release = next(self._pids), True, Path(spec.directory).resolve().name
        return replace(self.status(spec), message="ready after 0.0 s")

    def stop(self, spec: ProcessSpec) -> ProcessReport:
        """Make it end."""
        place = self._place(spec)
        was, place.pid, place.pidfile, place.failed = place.pid, None, False, False
        if was is None:
            return replace(self.status(spec), message="not running")
        if self.behaviours.get(spec.name) is Behaviour.IGNORES_TERM:
            text = f"killed after {spec.stop_timeout_seconds:.1f} s: it did not end on TERM"
            return replace(self.status(spec), message=text)
        return replace(self.status(spec), message="ended after 0.0 s")

    def restart(self, spec: ProcessSpec) -> ProcessReport:
        """Stop it and start it, unless it is left alone as what runs `current`."""
        found = self.status(spec)
        if spec.only_outdated and not outdated.why(found, spec):
            return replace(found, message=already_on(found.release), kept=True)
        stopped = self.stop(spec)
        started = self.start(spec)
        return replace(started, message=f"{stopped.message}; {started.message}")

    def _place(self, spec: ProcessSpec) -> _Place:
        return self._places.setdefault(spec.name, _Place())
