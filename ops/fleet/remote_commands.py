"""Commands on hosts: the plan that has an argv run, and what came of it on each host."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from ops.core.amounts import in_seconds
from ops.core.errors import ExitCode, UsageError
from ops.core.protocol import ProcessSpec, Verb
from ops.core.records import dataclass, replace
from ops.core.remote_command import ExecCall
from ops.core.settings import Settings
from ops.fleet.inventory import Place
from ops.fleet.plan import ANSWER_SECONDS, HostAction, Plan, make_plan
from ops.fleet.report import INTERRUPTED, Kind, Outcome, Report

LONGEST_SECONDS = 86_400.0
_ENDING_SECONDS = 15.0  # TERM, KILL, and a look at what is left
_OF_ONE_PROCESS = ("KARAFKA_PROCESS", "KARAFKA_GROUPS")
_KEPT_LINES = 10_000
_KEPT_CHARACTERS = 4 << 20


def exec_plan(settings: Settings, places: tuple[Place, ...], argv: Sequence[str], seconds: float) -> Plan:
    """Plan a command on hosts, side by side; each host's runs in the environment of its first process there.

    Parameters
    ----------
    argv : run as it is, by no shell, in the current release's folder.
    seconds : after which it is ended.

    Raises
    ------
    UsageError : there is no command, or nobody waits so long.
    """
    if not argv or not argv[0]:
        raise UsageError("there is no command to run", hint="fab karafka.exec -- uptime")
    if not 0 < seconds <= LONGEST_SECONDS:
        raise UsageError(f"expected more than 0 and at most {in_seconds(LONGEST_SECONDS)}, got {seconds:g}")
    call = ExecCall(tuple(argv), seconds)

    def change(action: HostAction) -> HostAction:
        request = replace(action.request, processes=(_in_no_slot(action.request.processes[0]),), exec=call)
        return replace(action, request=request, deadline_seconds=seconds + _ENDING_SECONDS + ANSWER_SECONDS)

    return make_plan(settings, places, Verb.EXEC).changed(change)


def _in_no_slot(spec: ProcessSpec) -> ProcessSpec:
    return replace(spec, env={name: value for name, value in spec.env.items() if name not in _OF_ONE_PROCESS})


@dataclass(frozen=True)
class HostResult:
    """What came of a command on one host.

    Attributes
    ----------
    code : its exit code: 128 and the number for a signal, 124 where it was ended at its deadline, 127 where it could
        not be run; None where nobody can tell.
    message : how it ended, in words, or why nobody can tell.
    lines : the last 10,000 that it wrote, to standard output and standard error in their order.
    omitted : how many lines came before these.
    silent : the host could not be reached.
    """

    host: str
    code: int | None
    message: str
    lines: tuple[str, ...] = ()
    omitted: int = 0
    silent: bool = False

    @property
    def ok(self) -> bool:
        """Whether it exited with 0."""
        return self.code == 0

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "host": self.host, "code": self.code, "message": self.message, "reachable": not self.silent,
            "lines": list(self.lines), "omitted": self.omitted,
        }  # fmt: skip


class KeptLines:
    """The last lines of a host's output: as many as memory is for."""

    def __init__(self) -> None:
        self.omitted = 0
        self._lines: deque[str] = deque()
        self._characters = 0

    def add(self, line: str) -> None:
        """Take one more."""
        self._lines.append(line)
        self._characters += len(line)
        while len(self._lines) > _KEPT_LINES or self._characters > _KEPT_CHARACTERS:
            self._characters -= len(self._lines.popleft())
            self.omitted += 1

    @property
    def lines(self) -> tuple[str, ...]:
        """Those that are kept, in order."""
        return tuple(self._lines)


def result_of(outcome: Outcome, kept: KeptLines) -> HostResult:
    """Return what came of the command on a host, with its output."""
    answer = outcome.response.executed if outcome.response else None
    silent = outcome.kind is Kind.UNREACHABLE
    if answer is None:
        trouble = outcome.trouble or "the agent did not say how it ended"
        return HostResult(outcome.host, None, trouble, kept.lines, kept.omitted, silent)
    return HostResult(outcome.host, answer.code, answer.message, kept.lines, kept.omitted)


def exit_code_of(report: Report, results: Sequence[HostResult]) -> int:
    """Decide the exit code: interrupted, else a host is silent, else an agent failed, else a command did."""
    if report.interrupted:
        return INTERRUPTED
    if any(one.silent for one in results):
        return ExitCode.UNREACHABLE
    if any(one.code is None for one in results):
        return ExitCode.FAILED
    return ExitCode.DONE if all(one.ok for one in results) else ExitCode.COMMAND_FAILED
