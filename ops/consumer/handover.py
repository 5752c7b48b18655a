"""The slot that this process has, or waits for: both ends of a warm handover.

Nothing stands between the two processes but the slot's byte locks and one signal. The replacement asks (USR1), the
owner finishes its batch and looks whether the replacement is still warm, the kernel hands the owner byte over.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from ops.consumer.errors import HandoverError
from ops.core import pidfile
from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.handover import (
    DRAIN_VARIABLE,
    HANDOVER,
    KILL_WAIT_SECONDS,
    LOCK_VARIABLE,
    PIDFILE_VARIABLE,
    RELEASE_VARIABLE,
    STANDBY_VARIABLE,
)
from ops.core.identity import Identity, UnseenError, pidfd_of, refusal
from ops.core.locks import DESCRIPTOR_VARIABLE, Byte, SlotLock
from ops.core.notify import Notifier

log = logging.getLogger(__name__)

_DRAIN_SECONDS = 30.0
_POLL_SECONDS = 0.001


class Claim:
    """This process's claim on its slot.

    Parameters
    ----------
    lock : with the owner byte, or for a standby the replacing byte, held by this process.
    standby : whether the slot is another process's yet.
    pid_path, release : what the owner writes into which file.
    drain_seconds : how long the owner may take to finish its batch before it is killed.
    """

    def __init__(
        self, lock: SlotLock, *, standby: bool, pid_path: Path, release: str = "", drain_seconds: float = _DRAIN_SECONDS
    ) -> None:
        self.standby = standby
        self._lock = lock
        self._pid_path = pid_path
        self._release = release
        self._drain_seconds = drain_seconds
        self._asked: _Owner | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Claim | None:
        """Take over what the shim locked before it became this process; None where no slot is this process's.

        Raises
        ------
        HandoverError : it is to be a replacement, and cannot: another version, or the byte is not its own.
        """
        wanted = environ.get(STANDBY_VARIABLE, "")
        if wanted not in ("", str(HANDOVER)):
            raise HandoverError(
                f"the handover was asked for in version {wanted}, this release speaks {HANDOVER}",
                hint="restart it with rollout.standby: off",
            )
        lock = _adopt(environ, Byte.REPLACING if wanted else Byte.OWNER)
        if lock is None:
            if wanted:
                raise HandoverError(
                    "it was started as a replacement, but the slot's lock is not its own",
                    hint="the command must be the consumer itself (exec it), or rollout.standby: off",
                )
            return None
        return cls(
            lock,
            standby=bool(wanted),
            pid_path=Path(environ[PIDFILE_VARIABLE]),
            release=environ.get(RELEASE_VARIABLE, ""),
            drain_seconds=float(environ.get(DRAIN_VARIABLE) or _DRAIN_SECONDS),
        )

    def take_over(self, notifier: Notifier, stopped: Callable[[float], bool]) -> bool:
        """Say that this process is warm, ask the owner for the slot, and wait for it; False when stopped meanwhile.

        Parameters
        ----------
        stopped : waits so many seconds at most; whether this process is to stop.

        Raises
        ------
        HandoverError : the owner neither handed over nor could be ended.
        """
        if not self._lock.try_take(Byte.WARM):
            raise HandoverError(f"process {self._lock.holder(Byte.WARM)} is warm already")
        signal.setitimer(signal.ITIMER_REAL, 0)  # the shim's: what follows has deadlines of its own
        notifier.standby()
        deadline, killed = Deadline(self._drain_seconds), ""
        try:
            while not self._lock.try_take(Byte.OWNER):
                self._ask()
                if stopped(_POLL_SECONDS):
                    return False
                if not deadline.expired:
                    continue
                if self._lock.try_take(Byte.OWNER):  # it may have gone just now
                    break
                if killed or not (killed := self._kill()):
                    patience = in_seconds(self._drain_seconds)
                    raise HandoverError(f"process {self._lock.holder(Byte.OWNER)} did not hand over within {patience}")
                deadline = Deadline(KILL_WAIT_SECONDS)
        finally:
            self._forget()
        self.standby = False
        notifier.taken(killed)
        return True

    def own(self) -> None:
        """Write the pidfile; that it cannot be written is no reason to leave the slot empty."""
        try:
            pidfile.write(self._pid_path, Identity.own(), release=self._release)
        except OSError as error:
            log.error("the pidfile %s cannot be written: %s", self._pid_path, error)

    def disown(self) -> None:
        """Remove the pidfile of a process that ends as it was told to: one that is left tells of a death."""
        with contextlib.suppress(OSError):
            pidfile.remove(self._pid_path, os.getpid())

    def settle(self) -> None:
        """Release what only a replacement holds: the next one may come."""
        self._lock.release(Byte.WARM)
        self._lock.release(Byte.REPLACING)

    def wanted(self) -> bool:
        """Whether a replacement is warm and waits for the slot."""
        return self._lock.holder(Byte.WARM) is not None

    def give_up(self) -> None:
        """Let the replacement have the slot; nothing may be done for it any more."""
        self._lock.release(Byte.OWNER)

    def _ask(self) -> None:
        """Ask the owner to hand over, each one once."""
        holder = self._lock.holder(Byte.OWNER)
        if holder is None or (self._asked is not None and self._asked.pid == holder):
            return
        self._forget()
        with contextlib.suppress(ProcessLookupError):  # gone: its byte is free in a moment
            owner = _Owner(holder)
            # It may have taken the slot this moment and not listen yet: the signal would end it.
            if self._lock.holder(Byte.OWNER) == holder and owner.listens():
                self._asked = owner
                owner.send(signal.SIGUSR1)
                log.info("asked process %d to hand over", holder)
            else:
                owner.close()

    def _kill(self) -> str:
        """End an owner that was asked in vain, and say so; nothing where it is another one."""
        owner = self._asked
        if owner is None or self._lock.holder(Byte.OWNER) != owner.pid:
            return ""
        text = f"process {owner.pid} was killed: it did not hand over within {in_seconds(self._drain_seconds)}"
        log.warning(text)
        with contextlib.suppress(ProcessLookupError):
            owner.send(signal.SIGKILL)
        return text

    def _forget(self) -> None:
        if self._asked is not None:
            self._asked.close()
            self._asked = None


class _Owner:
    """The process that holds the slot, by pidfd: its number may become another's, the descriptor never does."""

    def __init__(self, pid: int) -> None:
        if pid <= 0:
            raise HandoverError(f"the slot's owner lives in another pid namespace (fcntl says {pid})")
        self.pid = pid
        try:
            self._descriptor = pidfd_of(pid)
        except UnseenError as error:
            raise HandoverError(str(error)) from error

    def listens(self) -> bool:
        """Whether it has a handler for USR1 (proc(5), SigCgt)."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return False
        caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
        return bool(int(caught, 16) >> (signal.SIGUSR1 - 1) & 1)

    def send(self, number: signal.Signals) -> None:
        """Send a signal.

        Raises
        ------
        HandoverError : it runs as somebody else.
        """
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except PermissionError:
            raise HandoverError(str(refusal(self.pid))) from None

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)


def _adopt(environ: Mapping[str, str], byte: Byte) -> SlotLock | None:
    """Take over the slot's lock; None where it is missing, another file's, or held by another process."""
    path, number = environ.get(LOCK_VARIABLE, ""), environ.get(DESCRIPTOR_VARIABLE, "")
    try:
        inherited = os.path.samestat(os.fstat(int(number)), os.stat(path))  # noqa: PTH116
    except (OSError, ValueError):
        return None
    if not inherited:
        return None
    lock = SlotLock.adopt(Path(path), int(number))
    return lock if lock.try_take(byte) else None
