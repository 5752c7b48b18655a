"""One operation on one slot: nobody else's agent starts or stops it meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

from ops.core import deaths, keeping
from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.core.locks import Byte
from ops.core.protocol import Event, ProcessReport, ProcessSpec
from ops.core.records import replace
from ops.core.states import State
from ops.node import ending, inspection, logtail, procfs, replacement, startable
from ops.node.ending import Ending
from ops.node.inspection import Finding
from ops.node.launch import Launch
from ops.node.record import Intent, Phase, SlotRecord
from ops.node.tenure import Tenure
from ops.node.turn import Permit

_FREE_SECONDS = 2.0  # how long the kernel may take to release a dead owner's byte
_GIVE_UP_SECONDS = 5.0  # how long a process that was never ready may take to end


class Operation(Tenure):
    """The right to start and stop what is in a slot: `with Operation(spec, emit, lines) as operation`.

    Parameters
    ----------
    emit : told what happens as it happens.
    lines : how many log lines a failure shows.
    permit : asked when the slot is this agent's; what has begun then is finished, whoever has the lease.

    Attributes
    ----------
    kind : of the manager.

    Raises
    ------
    LockHeldError : another agent did not finish in time, or the lease has gone; the text names who.
    OSError : the lock file cannot be opened.
    """

    kind = keeping.PIDFILE

    def __init__(self, spec: ProcessSpec, emit: Callable[[Event], None], lines: int, permit: Permit) -> None:
        super().__init__(spec, permit)
        self._emit = emit
        self._lines = lines
        self._notes: list[str] = []

    def __enter__(self) -> Operation:
        super().__enter__()
        return self

    def start(self, *, after_stop: bool = False) -> ProcessReport:
        """Make it run and ready; whatever a broken start, stop or host left is healed.

        Parameters
        ----------
        after_stop : the slot was proven empty just now, so whoever is in it is not what was asked for.
        """
        if not after_stop:
            self.await_replacement()
        found = self._find()
        if found.process is not None:
            if after_stop:
                return self._report(False, f"process {found.process.pid} took the slot before it could be started")
            settled = self._settle(found)
            if settled is not None:
                return settled
            found = self._find()
        if self.spec is not self._own:
            self._heal(found)
            self._go_home()
            found = self._find()
        if not after_stop:
            deaths.note(Path(self.spec.files.deaths), found.pid_record, by_itself=False)
        self._heal(found)
        record = found.record.starting()
        try:
            record.write(self._record)
        except OSError as error:
            return self._report(False, f"{self._record} could not be written: {error.strerror}; nothing was started")
        return self._launch(record)

    def _launch(self, record: SlotRecord) -> ProcessReport:
        """Start the process in the slot, which is empty, and wait until it is ready."""
        since = logtail.size(self._log)
        with Launch(self.spec) as launch:
            try:
                process = launch.spawn()
            except OpsError as error:
                self._note(replace(record, phase=Phase.NONE, last_exit=error.what))
                return self._report(False, str(error))
            self._say("spawned", f"process {process.pid}")
            record = replace(record, process=process, starts=record.starts + 1)
            self._note(record)
            readiness = launch.wait_ready(process, self._say)
            if readiness.ready:
                self._note(replace(record, phase=Phase.READY, phase_at=time.time()))
                how = readiness.how.removeprefix("ready ")
                self._say("ready", f"{how}: {readiness.status}" if readiness.status else how)
                return self._report(True, readiness.how)
            self._say("failed", readiness.how)
            ended = ending.end(process, _GIVE_UP_SECONDS, self._say)
        then = ended.swept if readiness.ended else str(ended)
        how = f"{readiness.how}; {then}" if then else readiness.how
        if ended.gone:
            self._remove_pidfile()
        self._note(replace(record, phase=Phase.NONE, phase_at=time.time(), last_exit=readiness.how))
        return self._report(False, how, logtail.tail(self._log, self._lines, since=since))

    def restart(self) -> ProcessReport:
        """Put a new process in its place: warm where both can hand over, else by stop and start."""
        self.await_replacement()
        found = self._find()
        at_home = self.spec is self._own  # a replacement takes over the files, too
        if at_home and found.process is not None and replacement.possible(self.spec, found):
            return self._replace(found, found.process)
        reason = startable.trouble(self._own, self.kind)
        if reason:
            return self._report(False, f"{reason}; nothing was done")
        began = time.monotonic()
        stopped = self.stop()
        if not stopped.ok:
            return stopped
        self._go_home()
        deaths.forget(Path(self.spec.files.deaths))
        now = time.monotonic()
        started = self.start(after_stop=True)
        timings = {"stop": round(now - began, 4), "start": round(time.monotonic() - now, 4)}
        return replace(started, message=f"{stopped.message}; {started.message}", timings=timings)

    def _replace(self, found: Finding, old: Identity) -> ProcessReport:
        """Let a warm replacement take the slot over; twice at most."""
        if not found.noted:
            self._heal(found)
        record = replace(
            found.record, intent=Intent.UP, phase=Phase.REPLACING, phase_at=time.time(), process=old, last_exit=""
        )
        since = logtail.size(self._log)
        for last in (False, True):
            record = replace(record, starts=record.starts + 1)
            self._note(record)
            self._until_free(Byte.REPLACING)
            made = replacement.attempt(self.spec, old, self._say)
            if made.process is not None:
                if not ending.wait(old, Deadline(_GIVE_UP_SECONDS)):
                    old.send(signal.SIGKILL)  # it has given the slot up, and only fails to end
                self._sweep(old)
                deaths.forget(Path(self.spec.files.deaths))
                self._note(replace(record, phase=Phase.READY, phase_at=time.time(), process=made.process))
                return replace(self._report(True, made.how), timings=made.timings)
            if last or made.clear or not old.alive():
                break
        log = logtail.tail(self._log, self._lines, since=since)
        if not old.alive() and self._find().process is None:
            self._until_free(Byte.OWNER)
            started = self.start(after_stop=True)
            return replace(
                started, message=f"{made.how}; the slot was empty: {started.message}", log=started.log or log
            )
        self._note(replace(record, phase=Phase.READY, phase_at=time.time()))
        return self._report(False, f"{made.how}; process {old.pid} goes on", log)

    def await_replacement(self) -> None:
        """Let a replacement that an operation left behind finish alone; end one that doesn't."""
        pid = self._lock.holder(Byte.REPLACING)
        if pid is None:
            return
        self._say("waiting", f"for process {pid}, a replacement that is left of another operation")
        deadline = Deadline(replacement.seconds(self.spec))

        def settled() -> bool:
            usage = procfs.usage(pid)
            return self._lock.holder(Byte.REPLACING) != pid or usage is None or usage.frozen

        deadline.poll(settled)
        self._end_replacement()

    def _end_replacement(self) -> None:
        """End a replacement that is under way, if there is one."""
        pid = self._lock.holder(Byte.REPLACING)
        if pid is not None and (process := Identity.of(pid)) is not None:
            ended = ending.end(process, _GIVE_UP_SECONDS, self._say)
            self._notes.append(f"a replacement that was left of another operation {ended.how}")

    def stop(self) -> ProcessReport:
        """Make it end, and prove it: its byte is free and the process gone."""
        self._end_replacement()
        found = self._find()
        if found.process is None:
            left = self._heal(found)
            self._note(replace(found.record, intent=Intent.DOWN, phase=Phase.NONE, phase_at=time.time(), left=left))
            return self._report(not left, "not running")
        process = found.process
        stopping = replace(
            found.record, intent=Intent.DOWN, phase=Phase.STOPPING, phase_at=time.time(), process=process
        )
        self._note(stopping)
        draining = found.consumer is not None and found.consumer["state"] in inspection.DRAINING
        ended = self._end(process, asked=draining)
        free = self._until_free(Byte.OWNER)
        if not ended.gone:
            if not ended.unknown:
                return self._report(False, str(ended))
            self._note(found.record)
            return replace(self._report(False, str(ended)), state=State.UNKNOWN)
        if not free:
            return self._report(False, f"{ended}, yet process {self._lock.holder(Byte.OWNER)} has the slot now")
        self._remove_pidfile()
        self._note(replace(stopping, phase=Phase.NONE, last_exit=str(ended), left=ended.left))
        self._say("stopped", str(ended))
        return self._report(not ended.left, str(ended))

    def _end(self, process: Identity, *, asked: bool) -> Ending:
        """End the process in the slot; it drains already if it was asked."""
        return ending.end(process, self.spec.stop_timeout_seconds, self._say, asked=asked)

    def _until_free(self, byte: Byte) -> bool:
        """Wait until a process that has ended lets go: its threads may outlive its main one for a moment."""
        return Deadline(_FREE_SECONDS).poll(lambda: self._lock.holder(byte) is None)

    def _find(self) -> Finding:
        return inspection.find(self.spec, self._lock.holder)

    def _settle(self, found: Finding) -> ProcessReport | None:
        """Leave a living process alone, waiting for one whose start or stop was broken off; None when it ended."""
        deadline = Deadline(self.spec.start_timeout_seconds)
        report = deadline.poll(self._settled)
        if report is None:
            state = self._report(True, "").state
            return self._report(False, f"it is still {state} after {in_seconds(deadline.seconds)}; restart it")
        if report.pid is None:
            return None
        if found.noted:
            self._note(replace(found.record, intent=Intent.UP, phase=Phase.READY, process=found.process))
        return self._report(True, "already running")

    def _settled(self) -> ProcessReport | None:
        report = self.inspected()
        return None if report.state in (State.STARTING, State.STOPPING) else report

    def _heal(self, found: Finding) -> tuple[Identity, ...]:
        """Remove the pidfile and end the children of a process that is gone; gives those that could not be ended."""
        if found.pidfile_left and self._remove_pidfile():
            self._notes.append("a stale pidfile was removed")
        named = found.pid_record.identity if found.pid_record else None  # whoever keeps it has started that one
        gone = dict.fromkeys(one for one in (found.record.process, named) if one is not None)
        return tuple({left: None for process in gone for left in self._sweep(process, found.record.left)})

    def _sweep(self, process: Identity, known: tuple[Identity, ...] = ()) -> tuple[Identity, ...]:
        """End what is left of a process that is gone; gives what could not be ended."""
        from ops.node import session

        swept = session.sweep(process, Deadline(self.spec.stop_timeout_seconds), self.spec.files.status, known)
        if str(swept):
            self._notes.append(f"the process before it had left children: {swept}")
        return tuple(swept.left)

    def _remove_pidfile(self) -> bool:
        """Remove the pidfile, whatever it says, unless somebody has taken the slot meanwhile."""
        if not self._lock.try_take(Byte.OWNER):
            return False
        try:
            Path(self.spec.files.pidfile).unlink(missing_ok=True)
        except OSError as error:
            self._notes.append(f"its pidfile could not be removed: {error.strerror}")
            return False
        finally:
            self._lock.release(Byte.OWNER)
        return True

    def _note(self, record: SlotRecord) -> None:
        """Write the record; a full disk must not keep anybody from stopping a process."""
        try:
            record.write(self._record)
        except OSError as error:
            note = f"its record could not be written: {error.strerror}"
            if note not in self._notes:
                self._notes.append(note)

    def _say(self, step: str, detail: str = "") -> None:
        self._emit(Event(self.spec.name, step, detail))

    def _report(self, ok: bool, message: str, log: tuple[str, ...] = ()) -> ProcessReport:
        text = "; ".join([message, *self._notes])
        self._notes.clear()
        return self.inspected(ok=ok, message=text, log=log)

    def inspected(self, *, ok: bool = True, message: str = "", log: tuple[str, ...] = ()) -> ProcessReport:
        """Say how the slot is."""
        return inspection.report(self.spec, self._lock.holder, ok=ok, message=message, log=log)
