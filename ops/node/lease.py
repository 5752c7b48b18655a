"""This host's part of the lease: the file that says who has it, and the highest number seen here.

The file survives everything: it is replaced whole, under a byte lock, and reaches the disk before anybody is told.
Expiry counts by the boot clock (CLOCK_BOOTTIME, clock_gettime(2)): setting the host's clock changes nothing, and after
a reboot nobody has the lease any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ops.core.errors import OpsError
from ops.core.identity import boot_id
from ops.core.lease import LeaseAction, LeaseAnswer, LeaseCall, LeaseInfo
from ops.core.records import dataclass, replace
from ops.node import durable
from ops.node.fence import FOLDER, FenceRecord


@dataclass(frozen=True)
class HostClock:
    """This host's clocks, in seconds.

    Attributes
    ----------
    boot : since boot, also while it slept; nobody can set it.
    boot_id : of which boot.
    wall : since 1970; to be shown only.
    """

    boot: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    boot_id: Callable[[], str] = boot_id
    wall: Callable[[], float] = time.time


@dataclass(frozen=True)
class _Record:
    """What the file says; `expires` and `acquired` by the boot clock."""

    number: int = 0
    key: str = ""
    holder: str = ""
    reason: str = ""
    run: str = ""
    boot_id: str = ""
    acquired: float = 0.0
    expires: float = 0.0
    since: float = 0.0
    ended: str = ""


_DAMAGED = _Record(ended="its file was damaged")


class LeaseKeeper:
    """Keeps the lease of one stage on this host.

    Parameters
    ----------
    shared : the application's shared folder.

    Raises
    ------
    OpsError : by all methods: the file cannot be read, written or locked; then nothing has changed.
    """

    def __init__(self, shared: Path, clock: HostClock | None = None) -> None:
        self._path = shared / FOLDER / "lease.json"
        self._clock = clock or HostClock()
        self._fence = FenceRecord(shared)

    def answer(self, call: LeaseCall) -> LeaseAnswer:
        """Do what is asked."""
        if call.action is LeaseAction.SHOW:
            return self._answer(True, self._read(damaged=_DAMAGED))
        with durable.locked(self._path):
            if call.action is LeaseAction.ACQUIRE:
                return self._acquire(call)
            if call.action is LeaseAction.RENEW:
                return self._renew(call)
            if call.action is LeaseAction.RELEASE:
                return self._release(call)
            return self._break(call)

    def _acquire(self, call: LeaseCall) -> LeaseAnswer:
        record = self._read()
        if not call.key:
            raise OpsError("a lease is acquired under a key", where=str(self._path))
        if self._held(record):
            if record.key == call.key:
                return self._prolong(record, call)
            return self._answer(False, record, "it is held")
        now = self._clock.boot()
        return self._write(
            _Record(
                number=self._next(record),
                key=call.key,
                holder=call.holder,
                reason=call.reason,
                run=call.run,
                boot_id=self._clock.boot_id(),
                acquired=now,
                expires=now + call.ttl_seconds,
                since=self._clock.wall(),
            )
        )

    def _renew(self, call: LeaseCall) -> LeaseAnswer:
        record = self._read()
        if record.key != call.key:
            return self._answer(False, record, self._lost(record))
        if not self._held(record):
            return self._answer(False, record, f"your lease has ended: {self._ended(record)}")
        return self._prolong(record, call)

    def _prolong(self, record: _Record, call: LeaseCall) -> LeaseAnswer:
        return self._write(replace(record, expires=self._clock.boot() + call.ttl_seconds))

    def _release(self, call: LeaseCall) -> LeaseAnswer:
        record = self._read()
        if record.key != call.key:
            return self._answer(False, record, self._lost(record))
        return self._write(replace(record, key="", ended="released by its owner"))

    def _break(self, call: LeaseCall) -> LeaseAnswer:
        record = self._read(damaged=_DAMAGED)
        reason = f": {call.reason}" if call.reason else ""
        number = max(self._next(record), call.above + 1)
        return self._write(replace(record, number=number, key="", ended=f"broken by {call.holder}{reason}"))

    def _next(self, record: _Record) -> int:
        # Beginning at the time of day, it also grows where the file was lost or another host keeps the lease now;
        # a clock that is set back does not lower it.
        return max(record.number + 1, self._fence.read().number + 1, int(self._clock.wall()))

    def _held(self, record: _Record) -> bool:
        return bool(record.key) and record.boot_id == self._clock.boot_id() and self._clock.boot() < record.expires

    def _lost(self, record: _Record) -> str:
        if self._held(record):
            return f"{record.holder} has it now (number {record.number})"
        return f"nobody has it: {self._ended(record)}" if record.number else "nobody has it"

    def _ended(self, record: _Record) -> str:
        if record.ended:
            return record.ended
        if record.boot_id != self._clock.boot_id():
            return "the host was restarted"
        return f"not renewed, it expired {self._clock.boot() - record.expires:.0f} s ago"

    def _answer(self, ok: bool, record: _Record, message: str = "") -> LeaseAnswer:
        held = self._held(record)
        now, same_boot = self._clock.boot(), record.boot_id == self._clock.boot_id()
        info = LeaseInfo(
            number=record.number,
            held=held,
            holder=record.holder,
            reason=record.reason,
            run=record.run,
            since=record.since,
            held_seconds=now - record.acquired if same_boot else None,
            expires_seconds=record.expires - now if held else 0.0,
            ended="" if held or record == _Record() else self._ended(record),
        )
        return LeaseAnswer(ok, info, message, self._fence.read().number)

    def _read(self, damaged: _Record | None = None) -> _Record:
        return durable.read(self._path, _Record, _Record(), damaged)

    def _write(self, record: _Record) -> LeaseAnswer:
        durable.write(self._path, record)
        return self._answer(True, record)
