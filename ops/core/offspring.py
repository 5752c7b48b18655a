"""A program and all that it has started: found and ended, whatever groups and sessions its children have made.

They are told by the program's session, by a mark in their environment, and by their parents. What a program has started
in a slot of its own (`fab karafka.restart` in a hook) is none of them: it is the slot's.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.records import dataclass

_VARIABLE = "OPS_RUN_OF_PROGRAM"
_OF_A_SLOT = b"KARAFKA_STATUS_FILE="  # every process of a slot has it
_KILL_SECONDS = 5.0
_EVERY_SECONDS = 0.05


@dataclass(frozen=True)
class _Seen:
    parent: int
    session: int
    marked: bool
    of_a_slot: bool


class Offspring:
    """All processes of one run of a program, which is to be started as the leader of a session.

    Attributes
    ----------
    variables : what its environment is to have, too.
    """

    def __init__(self) -> None:
        self.variables = {_VARIABLE: os.urandom(16).hex()}
        self._mark = f"{_VARIABLE}={self.variables[_VARIABLE]}".encode()

    def living(self, leader: int) -> tuple[Identity, ...]:
        """Find those that live.

        Parameters
        ----------
        leader : the program's own pid, which nobody has waited for; 0 where it is only the mark that tells them.
        """
        seen = {pid: one for pid in _pids() if (one := self._look(pid)) is not None and pid != os.getpid()}
        found = {pid for pid, one in seen.items() if (leader and one.session == leader) or one.marked}
        new = found
        while new:
            new = {pid for pid, one in seen.items() if one.parent in new and not one.of_a_slot} - found
            found |= new
        mine = (Identity.of(pid) for pid in sorted(found) if not seen[pid].of_a_slot)
        return tuple(one for one in mine if one is not None)

    def end(self, leader: int, grace_seconds: float) -> tuple[Identity, ...]:
        """End them: TERM, and KILL after a while; gives those that cannot be ended."""
        try:
            self._send(leader, signal.SIGTERM)
            if self._gone(leader, grace_seconds):
                return ()
        finally:  # also where Ctrl-C ends the wait
            # One that is just being started has escaped a look: it is found by the next one
            self._gone(leader, _KILL_SECONDS, lambda: self._send(leader, signal.SIGKILL))
        return self.living(leader)

    def _gone(self, leader: int, seconds: float, again: Callable[[], None] = lambda: None) -> bool:
        def gone() -> bool:
            again()
            return not self.living(leader)

        return Deadline(seconds).poll(gone, every=_EVERY_SECONDS)

    def _send(self, leader: int, number: signal.Signals) -> None:
        for one in self.living(leader):
            with suppress(PermissionError):  # somebody else's, by sudo
                one.send(number)

    def _look(self, pid: int) -> _Seen | None:
        place = Path(f"/proc/{pid}")
        try:
            fields = (place / "stat").read_text(errors="replace").rpartition(")")[2].split()
        except OSError:  # it has ended
            return None
        try:
            variables = (place / "environ").read_bytes().split(b"\0")
        except OSError:  # somebody else's
            variables = []
        of_a_slot = any(one.startswith(_OF_A_SLOT) for one in variables)
        return _Seen(int(fields[1]), int(fields[3]), self._mark in variables, of_a_slot)


def _pids() -> list[int]:
    return [int(one.name) for one in Path("/proc").iterdir() if one.name.isdigit()]
