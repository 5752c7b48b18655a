"""Processes that stand still: what hangs, as a network or a machine does."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import Identity

FREEZE_SECONDS = 10.0


def freeze(processes: Sequence[Identity]) -> None:
    """Stop processes by SIGSTOP, and wait until all their threads stand still.

    The signal alone is not enough: its threads go on until one of them has been given the CPU to take it (signal(7)).

    Raises
    ------
    OpsError : one goes on.
    """
    for one in processes:
        one.send(signal.SIGSTOP)
    deadline = Deadline(FREEZE_SECONDS)
    for one in processes:
        if not deadline.poll(lambda one=one: not one.alive() or _stands_still(one.pid)):  # type: ignore[misc]
            raise OpsError(f"process {one.pid} does not stand still after SIGSTOP")


def _stands_still(pid: int) -> bool:
    try:
        stats = [stat.read_text(errors="replace") for stat in Path(f"/proc/{pid}/task").glob("*/stat")]
    except (FileNotFoundError, ProcessLookupError):  # a thread ended between: look again
        return False
    return all(stat.rpartition(")")[2].split()[0] in "TtZX" for stat in stats)
