"""The few errors of this project and the exit codes they end in.

An error's text says what happened, where, and what to do next. The exit code
travels with the class, so that one place (`exit_code_of`) decides it.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command; `status` follows LSB (3 not running, 4 unknown)."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    STOPPED = 3
    UNREACHABLE = 4
    LOCK_HELD = 10
    GATE_REFUSED = 11
    ROLLED_BACK = 12
    COMMAND_FAILED = 13
    NOT_HANDED_OVER = 70  # EX_SOFTWARE: a replacement that did not get its slot


class OpsError(Exception):
    """Base of all errors that a user is meant to read.

    Parameters
    ----------
    what : what happened, one sentence without a trailing full stop.
    where : the host, file, key path or process it happened at.
    hint : what to do next.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        text = f"{where}: {what}" if where else what
        super().__init__(f"{text}\n  {hint}" if hint else text)


class UsageError(OpsError):
    """A command line that cannot be carried out as it was typed."""

    exit_code = ExitCode.USAGE


class SettingsError(UsageError):
    """A setting that is missing, unknown or of the wrong type; `where` is its key path."""


class UnreachableError(OpsError):
    """A host that could not be asked: down, hanging, refusing the key, with an unknown host key."""

    exit_code = ExitCode.UNREACHABLE


class LockHeldError(OpsError):
    """Somebody else is doing this just now; `what` names the holder."""

    exit_code = ExitCode.LOCK_HELD


class GateRefusedError(OpsError):
    """A rollout that must not begin, or not go on: the group is not as it has to be, or nobody can tell."""

    exit_code = ExitCode.GATE_REFUSED


def exit_code_of(error: BaseException) -> ExitCode:
    """Give the exit code that `error` ends a command with; anything unforeseen counts as failed."""
    return error.exit_code if isinstance(error, OpsError) else ExitCode.FAILED
