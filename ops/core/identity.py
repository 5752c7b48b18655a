"""Who a process is: pid, start time and boot, so that a recycled pid is never taken for it.

Nothing is guessed: what is there and does not show itself (another user's below `hidepid`, a kernel or a seccomp filter
without pidfds) is neither alive nor gone, and raises `UnseenError`.
"""

from __future__ import annotations

import errno
import os
import signal
from functools import cache
from pathlib import Path

from ops.core.records import dataclass

MARK_VARIABLE = "KARAFKA_STARTED_BY"
_STATE, _THREADS, _START = 0, 17, 19  # fields 3, 20 and 22 of /proc/PID/stat: proc(5)


class UnseenError(OSError):
    """A process is there, and cannot be seen or reached from here; the text says why. Nothing is known of it."""


@cache
def boot_id() -> str:
    """Give the id of this boot (proc(5), random/boot_id); pids mean nothing beyond it."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def stat_fields(pid: int) -> list[str] | None:
    """Give the fields of /proc/PID/stat from the third one on, the state; None for no such process.

    Raises
    ------
    UnseenError : there is one, and its entry is hidden.
    """
    for _ in range(2):  # it may have come or gone between the two questions
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            if not _is_there(pid):
                return None
        else:
            return stat.rpartition(")")[2].split()  # the name before it may hold blanks and brackets
    raise UnseenError(f"process {pid} is there, but /proc does not show it to user {os.geteuid()} (hidepid?)")


def start_ticks(pid: int) -> int | None:
    """Give the clock ticks from boot to the start of `pid`; None for no such process.

    A zombie has ended, only its parent has not asked yet: it counts as no process. One whose main thread alone has
    ended looks the same but for its other threads, and lives.

    Raises
    ------
    UnseenError : nobody can tell.
    """
    fields = stat_fields(pid)
    if fields is None or (fields[_STATE] in "ZX" and int(fields[_THREADS]) <= 1):
        return None
    return int(fields[_START])


def pidfd_of(pid: int) -> int:
    """Open the descriptor of a process, which no other process ever gets.

    Raises
    ------
    ProcessLookupError : there is no such process.
    UnseenError : the kernel, or a filter of system calls, does not let it be opened.
    """
    try:
        return os.pidfd_open(pid)
    except AttributeError:
        reason = "this Python was built without it"
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL, errno.ENOENT):  # the latter two: the number is a thread's by now
            raise ProcessLookupError(error.errno, "no such process") from error
        reason = error.strerror or str(error)
    raise UnseenError(f"process {pid} cannot be held on to: pidfd_open: {reason}")


def refusal(pid: int) -> OSError:
    """Give the error for a signal that this process may not send.

    Returns
    -------
    PermissionError where the other one is another user's; else UnseenError: what it is refused for is not known.
    """
    try:
        owner = next(
            int(line.split()[1])
            for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
            if line.startswith("Uid:")
        )
    except (OSError, StopIteration):
        return UnseenError(f"process {pid} may not be sent signals from here")
    if os.geteuid() in (0, owner):
        return UnseenError(f"process {pid} is user {owner}'s, yet signals to it are refused (seccomp?)")
    return PermissionError(f"process {pid} runs as another user ({owner}, not {os.geteuid()}): not ours to stop")


def _is_there(pid: int) -> bool:
    """Ask the kernel, which answers for hidden processes, too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
        """Take the identity of a running process; None for no such process.

        Raises
        ------
        UnseenError : nobody can tell.
        """
        ticks = start_ticks(pid)
        return None if ticks is None else cls(pid, ticks, boot_id())

    @classmethod
    def own(cls) -> Identity:
        """Take this process's identity."""
        identity = cls.of(os.getpid())
        if identity is None:
            raise ProcessLookupError(os.getpid(), "no /proc entry for this process: is /proc mounted?")
        return identity

    @property
    def mark(self) -> str:
        """What all that it starts has in its environment, `NAME=value`: the shim sets it, and becomes the command."""
        return f"{MARK_VARIABLE}={self.pid}.{self.start}.{self.boot}"

    def alive(self) -> bool:
        """Whether this very process still runs (another user's counts as well).

        Raises
        ------
        UnseenError : nobody can tell.
        """
        return self.boot == boot_id() and start_ticks(self.pid) == self.start

    def send(self, number: signal.Signals) -> bool:
        """Send a signal to this very process; pidfd first, identity second, so a recycled pid is never hit.

        Returns
        -------
        False when the process has ended.

        Raises
        ------
        PermissionError : it runs as another user.
        UnseenError : it cannot be held on to, or signals are refused; nothing was sent.
        """
        if not self.alive():
            return False
        try:
            descriptor = pidfd_of(self.pid)
        except ProcessLookupError:
            return False
        except UnseenError:
            if not self._is_child():
                raise
            os.kill(self.pid, number)  # nobody else gets the number of a child that its parent has not waited for
            return True
        try:
            if not self.alive():
                return False
            signal.pidfd_send_signal(descriptor, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            raise refusal(self.pid) from None
        finally:
            os.close(descriptor)
        return True

    def _is_child(self) -> bool:
        """Whether it is a child of this process that was not waited for yet."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True
