"""The states of a process, and how a fleet's worst one becomes an exit code."""

from __future__ import annotations

from collections.abc import Iterable

from ops.core.errors import ExitCode
from ops.core.strenum import StrEnum


class State(StrEnum):
    """What a process is doing, as every manager says it."""

    RUNNING = "running"
    STARTING = "starting"
    STANDBY = "standby"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DEAD = "dead"  # not running, and nobody has asked for that: its pidfile was left, or it ended while it started
    CRASH_LOOPING = "crash-looping"
    UNKNOWN = "unknown"


ALIVE = frozenset({State.RUNNING, State.STARTING, State.STANDBY, State.STOPPING})
FAILED = frozenset({State.DEAD, State.CRASH_LOOPING})
GONE = frozenset({State.STOPPED, State.DEAD})  # of a crash-looping or unknown one nobody can say
_WORST_FIRST = (ExitCode.UNREACHABLE, ExitCode.FAILED, ExitCode.STOPPED)


def exit_code_of_states(states: Iterable[State]) -> ExitCode:
    """Take the worst of all processes: unknown, then failed, then not running, then running.

    Source: the LSB's status codes (1 dead with a pidfile, 3 not running, 4 unknown).
    """
    seen = set(states)
    if State.UNKNOWN in seen:
        return ExitCode.UNREACHABLE
    if seen & FAILED:
        return ExitCode.FAILED
    if seen - {State.RUNNING}:
        return ExitCode.STOPPED
    return ExitCode.DONE


def worst_exit_code(codes: Iterable[ExitCode]) -> ExitCode:
    """Take the worst of what a status comes to, in the same order."""
    seen = set(codes)
    return next((code for code in _WORST_FIRST if code in seen), ExitCode.DONE)
