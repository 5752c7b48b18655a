"""Who a process is: pid, start time and boot, so that a recycled pid is never taken for it."""

from __future__ import annotations

import os
import signal
from functools import cache
from pathlib import Path

from ops.core.records import dataclass


@cache
def boot_id() -> str:
    """Give the id of this boot (proc(5), random/boot_id); pids mean nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid: int) -> int | None:
    """Give the clock ticks from boot to the start of `pid` (proc(5), field 22 of stat); None for no such process.

    A zombie has ended: only its parent has not asked yet. It counts as no process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    return None if fields[0] in "ZX" else int(fields[19])


@dataclass(frozen=True)
class Identity:
    """One process of one boot.

    Attributes
    ----------
    pid : process id.
    start : clock ticks from boot to its start.
    boot : the boot's id.
    """

    pid: int
    start: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> Identity | None:
        """Take the identity of a running process; None for no such process."""
        ticks = start_ticks(pid)
        return None if ticks is None else cls(pid, ticks, boot_id())

    @classmethod
    def own(cls) -> Identity:
        """Take this process's identity."""
        identity = cls.of(os.getpid())
        if identity is None:
            raise ProcessLookupError(os.getpid(), "no /proc entry for this process: is /proc mounted?")
        return identity

    def alive(self) -> bool:
        """Whether this very process still runs (another user's counts as well)."""
        return self.boot == boot_id() and start_ticks(self.pid) == self.start

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; pidfd first, identity second, so a recycled pid is never hit.

        Returns
        -------
        False when the process has ended.

        Raises
        ------
        PermissionError : it runs as somebody else.
        """
        if not self.alive():  # its number may be a thread's by now, of which no pidfd can be had
            return False
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True
