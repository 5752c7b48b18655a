"""A command that an operator has run on hosts: what is asked of an agent, and what it answers."""

from __future__ import annotations

from ops.core.records import dataclass

TIMED_OUT = 124  # as timeout(1) has it
NOT_RUN = 127  # as a shell has it


@dataclass(frozen=True)
class ExecCall:
    """One command, run in the current release's folder; its output comes in events of `LINE`, several lines in each.

    Attributes
    ----------
    argv : as it is, by no shell.
    seconds : after which it is ended, with all that it has started.
    """

    argv: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class ExecAnswer:
    """How it ended.

    Attributes
    ----------
    code : its exit code; 128 and the number for a signal, `TIMED_OUT`, `NOT_RUN`.
    message : the same in words.
    """

    code: int
    message: str = ""
