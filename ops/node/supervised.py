"""One operation on one slot whose process supervisor keeps: starting and ending go through supervisord.

All else is as everywhere (`ops.node.operation`): the byte of the slot that is held, the record, the proof that a
process has ended. A warm handover there is not: a program is one process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ops.core import keeping, supervisor
from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.protocol import Event, ProcessReport, ProcessSpec
from ops.core.records import replace
from ops.node import ending, logtail, manifest, once, oversight
from ops.node.ending import Ending
from ops.node.location import require_own_files
from ops.node.operation import Operation
from ops.node.record import Phase, SlotRecord
from ops.node.supervisord import ACTIVE, Program, Supervisord, SupervisorError, UnknownProgramError
from ops.node.turn import Permit
from ops.node.wrapped import ENDED, Stage, Wrapped

_POLL_SECONDS = 0.005  # as long as partitions stand still
_LOOK_SECONDS = 0.2  # between two questions to supervisord while the wrapper's own word is waited for
_BEGIN_SECONDS = 5.0  # how long a wrapper may take until it has started its process
_END_SECONDS = 5.0  # how long a wrapper may take to end after its process, or supervisord to kill it


class SupervisedOperation(Operation):
    """The right to start and stop a slot's program: `with SupervisedOperation(spec, ...) as operation`.

    Parameters
    ----------
    server : supervisord.
    program : the name of the slot's program.
    emit, lines, permit : as `Operation`.

    Raises
    ------
    LockHeldError, OSError : as `Operation`.
    """

    kind = keeping.SUPERVISOR

    def __init__(
        self,
        spec: ProcessSpec,
        server: Supervisord,
        program: str,
        emit: Callable[[Event], None],
        lines: int,
        permit: Permit,
    ) -> None:
        super().__init__(replace(spec, standby="off"), emit, lines, permit)
        self._server = server
        self._program = program

    @property
    def _wrapped(self) -> Path:
        return Path(self.spec.files.wrapped)

    def __enter__(self) -> SupervisedOperation:
        super().__enter__()
        return self

    def start(self, *, after_stop: bool = False) -> ProcessReport:
        """Make it run and ready.

        Raises
        ------
        SupervisorError : supervisord cannot be asked, or does not know the program; nothing was done.
        """
        if not after_stop and self._coming():
            Deadline(_BEGIN_SECONDS).poll(lambda: self._find().process is not None or not self._coming())
        return super().start(after_stop=after_stop)

    def stop(self) -> ProcessReport:
        """Make it end, and prove it; a program that supervisor starts again and again is stopped, too.

        Raises
        ------
        SupervisorError : supervisord cannot be asked.
        """
        if self._find().process is None:
            with suppress(UnknownProgramError):
                self._halt()
        return super().stop()

    def restart(self) -> ProcessReport:
        """Stop it and start it.

        Raises
        ------
        SupervisorError : supervisord cannot be asked, or does not know the program; nothing was done.
        OpsError : the program names other files.
        """
        self._server.program(self._program)
        self._require_own_files()
        return super().restart()

    def _require_own_files(self) -> None:
        shared = str(Path(self._own.files.record).parents[2])
        require_own_files(self._own, map(Path, manifest.read(shared).get(keeping.SUPERVISOR, {})))

    def _launch(self, record: SlotRecord) -> ProcessReport:
        self._require_own_files()
        self._halt()  # one that supervisor is just about to start once more
        since = logtail.size(self._log)
        self._prepare()
        try:
            self._renew()
            self._server.start(self._program)
            self._say("spawned", f"program {self._program}")
            record, how, ready = self._until_ready(record)
        except SupervisorError as error:
            how, ready = str(error), False
        if ready:
            self._note(replace(record, phase=Phase.READY, phase_at=time.time()))
            return self._report(True, how)
        self._say("failed", how)
        self._halt()
        Path(self.spec.files.once).unlink(missing_ok=True)
        if self._find().process is None:
            self._remove_pidfile()
        self._note(replace(record, phase=Phase.NONE, phase_at=time.time(), last_exit=how))
        return self._report(False, how, logtail.tail(self._log, self._lines, since=since))

    def _prepare(self) -> None:
        """Leave what is for this start alone, and take away what another one left."""
        self._wrapped.unlink(missing_ok=True)
        once.leave(Path(self.spec.files.once), self.spec.fresh_member_of)
        self._log.parent.mkdir(parents=True, exist_ok=True)

    def _renew(self) -> None:
        """Let supervisord take the program as its file has it now, where an install has changed that while it ran."""
        try:
            changed = self._server.reread()[1]
        except SupervisorError as error:  # a file that may be another application's: it is as it was
            self._notes.append(error.what)
            return
        if self._program in changed:
            self._server.remove_group(self._program, Deadline(_END_SECONDS))
            self._server.add_group(self._program)

    def _until_ready(self, record: SlotRecord) -> tuple[SlotRecord, str, bool]:
        """Wait for the wrapper's word; gives the record with the process in it, how it is, and whether it is ready."""
        deadline = Deadline(_BEGIN_SECONDS + supervisor.start_seconds(self.spec.start_timeout_seconds))
        look, status = Deadline(_LOOK_SECONDS), ""
        while True:
            note = Wrapped.read(self._wrapped)
            if note is not None and note.process is not None and record.process is None:
                record = replace(record, process=note.process, starts=record.starts + 1)
                self._note(record)
            if note is not None and note.stage in ENDED:
                return record, note.how, False
            if note is not None and note.status != status:
                status = note.status
                self._say("status", status)
            if note is not None and note.stage is Stage.READY:
                self._say("ready", note.how.removeprefix("ready "))
                return record, note.how, True
            if look.expired:
                program, look = self._server.program(self._program), Deadline(_LOOK_SECONDS)
                if program.state not in ACTIVE - {"BACKOFF"} and Wrapped.read(self._wrapped) == note:
                    return record, oversight.trouble(program), False
            if deadline.expired:
                return record, f"its wrapper did not say anything for {in_seconds(deadline.seconds)}", False
            time.sleep(_POLL_SECONDS)

    def _end(self, process: Identity, *, asked: bool) -> Ending:
        began = time.monotonic()
        try:
            program = self._server.program(self._program)
            if not oversight.keeps(program, process.pid):
                self._halt()
                self._notes.append("it did not run under supervisor")
                return super()._end(process, asked=asked)
            self._server.stop(self._program)
        except UnknownProgramError:
            return super()._end(process, asked=asked)
        except SupervisorError as error:
            return Ending(False, str(error))
        self._say("asked to stop", f"program {self._program}")
        gone = ending.wait(process, Deadline(supervisor.stop_seconds(self.spec.stop_timeout_seconds) + _END_SECONDS))
        if not gone or not self._until_inactive(_END_SECONDS):
            return Ending(False, f"supervisord has not ended {self._program} in {time.monotonic() - began:.1f} s")
        note = Wrapped.read(self._wrapped)
        if note is not None and note.process == process and note.stage in ENDED:
            if note.how.startswith("killed"):
                self._say("killed", note.how)
            return Ending(True, note.how, left=note.left)
        killed = Ending(True, f"killed after {time.monotonic() - began:.1f} s: its wrapper was killed")
        return ending.sweep(killed, process, Deadline(_END_SECONDS), self._say)

    def _halt(self) -> None:
        """Stop the program, whatever supervisor is about to do with it, and wait until it is."""
        if self._active():
            self._server.stop(self._program)
            self._until_inactive(supervisor.stop_seconds(self.spec.stop_timeout_seconds) + _END_SECONDS)

    def _until_inactive(self, seconds: float) -> bool:
        return Deadline(seconds).poll(lambda: not self._active(), every=_POLL_SECONDS)

    def _coming(self) -> bool:
        """Whether supervisor is at it just now: its process may show any moment, or be gone."""
        return self._server.program(self._program).state in ACTIVE - {"BACKOFF"}

    def _active(self) -> bool:
        return self._server.program(self._program).state in ACTIVE

    def inspected(self, *, ok: bool = True, message: str = "", log: tuple[str, ...] = ()) -> ProcessReport:
        report = super().inspected(ok=ok, message=message, log=log)
        program: Program | None = None
        with suppress(UnknownProgramError):
            program = self._server.program(self._program)
        return oversight.seen(report, self.spec, program, self._lines, told=bool(message))
