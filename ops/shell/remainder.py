"""What follows `--` on Fabric's command line: the command of `karafka.exec`, word for word.

Fabric takes it for a command line of its own, joined to one text, and ends in a traceback where there is a task, too.
"""

from __future__ import annotations

import sys
from typing import Any

from ops.core.errors import UsageError

_MARK = "--"
_TASK = "exec"
_HINT = "fab karafka.exec --hosts web1 -- uptime; for a shell: -- sh -c 'uptime | cut -c1-8'"


def take_remainder() -> None:
    """Keep Fabric from what follows `--`, where a task is named before it.

    Raises
    ------
    UsageError : no task there takes it.
    """
    program = _program()
    if not program.core.remainder or not program.core.unparsed:
        return
    words = program.argv[1 : program.argv.index(_MARK)]
    if not any(word.rpartition(".")[2] == _TASK for word in words):
        raise UsageError("only karafka.exec takes a command", where=_MARK, hint=_HINT)
    program.core.remainder = ""


def given_command() -> list[str]:
    """Return the argv that follows `--`.

    Raises
    ------
    UsageError : there is none.
    """
    argv = list(_program().argv)
    words = argv[argv.index(_MARK) + 1 :] if _MARK in argv else []
    if not words:
        raise UsageError("no command follows", where=_MARK, hint=_HINT)
    return words


def _program() -> Any:
    return vars(sys.modules["fabric.main"])["program"]
