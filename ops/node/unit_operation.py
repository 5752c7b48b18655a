"""One operation on one slot whose process systemd keeps: the agent asks, systemd starts and ends."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ops.core import keeping, systemd
from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import Identity, UnseenError
from ops.core.locks import Byte
from ops.core.protocol import Event, ProcessReport, ProcessSpec
from ops.core.records import replace
from ops.node import ending, journal, once, sandboxing
from ops.node.ending import Ending
from ops.node.inspection import ALIVE_SECONDS, Finding
from ops.node.location import require_own_files
from ops.node.operation import Operation
from ops.node.record import Phase, SlotRecord
from ops.node.systemctl import Facts, Systemctl, SystemdError, leave
from ops.node.turn import Permit

_MARGIN_SECONDS = 10.0  # beyond the unit's own TimeoutStopSec: for its KILL


class UnitOperation(Operation):
    """The right to start and stop a unit: `Operation`, with systemd as who does it.

    Parameters
    ----------
    systemctl : the way to the systemd that has the unit.
    """

    kind = keeping.SYSTEMD

    def __init__(
        self, spec: ProcessSpec, emit: Callable[[Event], None], lines: int, permit: Permit, systemctl: Systemctl
    ) -> None:
        super().__init__(spec, emit, lines, permit)
        self._systemctl = systemctl
        self._unit = systemctl.kept.unit(spec.name)
        self._once = Path(spec.files.once)
        self._prepared = False

    def __enter__(self) -> UnitOperation:
        super().__enter__()
        return self

    def restart(self) -> ProcessReport:
        """Stop it, prove that, and start it; what can be done before is done before, as its partitions wait."""
        try:
            self._prepare()
        except OpsError as error:
            return self._report(False, f"{error}; nothing was done")
        return super().restart()

    def stop(self) -> ProcessReport:
        """Make it end, and keep systemd from starting it again."""
        if self._find().process is None and not self._systemctl.facts(self._unit).down:
            self._stop_unit(Facts())  # it waits for its next start, or has just begun it
        return super().stop()

    def _settle(self, found: Finding) -> ProcessReport | None:
        facts = self._systemctl.facts(self._unit)
        if found.process is not None and facts.pid == found.process.pid and facts.active == "activating":
            self._say("waiting", f"for process {facts.pid}, which systemd is starting")
            with suppress(SystemdError):  # joins that start; how it went is seen below
                command, patience = systemd.start(self._unit), Deadline(self.spec.start_timeout_seconds)
                self._systemctl.run(command, self._unit, patience)
        return super()._settle(found)

    def _launch(self, record: SlotRecord) -> ProcessReport:
        began, since = time.monotonic(), time.time()
        try:
            process, failure = self._start(record, began)
        except OpsError as error:
            self._note(replace(record, phase=Phase.NONE, last_exit=error.what))
            return self._report(False, str(error))
        record = replace(record, process=process, starts=record.starts + (process is not None))
        if not failure:
            self._note(replace(record, phase=Phase.READY, phase_at=time.time()))
            word = "ready" if self.spec.readiness == "notify" else "alive"
            how = f"{word} after {time.monotonic() - began:.1f} s"
            self._say("ready", how.removeprefix("ready "))
            return self._report(True, how)
        self._say("failed", failure)
        log = journal.tail(self._systemctl, self._unit, self._lines, since=since)
        there = process is not None and process.alive()
        try:
            ended = self._stop_unit(Facts())  # systemd would go on trying
        except SystemdError as error:
            ended, there = str(error), True
        failure = "; ".join(filter(None, (failure, sandboxing.hint(self._systemctl.kept, log))))
        how = f"{failure}; {ended}" if there else failure
        self._remove_pidfile()
        self._note(replace(record, phase=Phase.NONE, phase_at=time.time(), last_exit=failure))
        return self._report(False, how, log)

    def _start(self, record: SlotRecord, began: float) -> tuple[Identity | None, str]:
        """Let systemd start it and wait until it says that it is up; gives the process and why it is not.

        Raises
        ------
        SystemdError : systemd cannot be asked, or refuses.
        """
        deadline = Deadline(self.spec.start_timeout_seconds)
        self._prepare()
        self._prepared = False
        Path(self.spec.files.pidfile).parent.mkdir(parents=True, exist_ok=True)  # the unit may write there alone
        once.leave(self._once, self.spec.fresh_member_of)
        asked = self._systemctl.begin(systemd.start(self._unit))
        process = None
        try:
            pid = deadline.poll(lambda: self._lock.holder(Byte.OWNER) or asked.poll() is not None, every=0.005)
            process = _identity(pid) if not isinstance(pid, bool) and pid else None
            if process is not None:
                self._say("spawned", f"process {process.pid}")
                self._note(replace(record, process=process, starts=record.starts + 1))
            return process, self._await(asked, began, deadline)
        finally:
            leave(asked)
            self._once.unlink(missing_ok=True)

    def _prepare(self) -> None:
        """See that there is a unit to start, and that no failures before keep systemd from it.

        Raises
        ------
        SystemdError : systemd cannot be asked, or has no such unit.
        OpsError : the unit names other files.
        """
        if self._prepared:
            return
        name = self.spec.name
        shared = Path(self._own.files.record).parents[2]
        before = shared / "units" / f"{name}.env"  # where a version before has put it
        require_own_files(self._own, [Path(systemd.env_file(self._systemctl.kept, str(shared), name)), before])
        load = self._systemctl.facts(self._unit).load
        if load != "loaded":
            raise self._systemctl.unloaded(load, self._unit)
        with suppress(SystemdError):  # a unit that was never started has nothing to forget; the start tells the rest
            self._systemctl.run(systemd.reset(self._unit), self._unit, Deadline(_MARGIN_SECONDS))
        self._prepared = True

    def _await(self, asked: subprocess.Popen[str], began: float, deadline: Deadline) -> str:
        """Wait for systemd's word; empty for ready."""
        try:
            _, complaint = asked.communicate(timeout=deadline.remaining)
        except subprocess.TimeoutExpired:
            return f"it was not ready within {in_seconds(deadline.seconds)}"
        if asked.returncode == 0:
            if self.spec.readiness == "notify":
                return ""
            time.sleep(min(ALIVE_SECONDS, deadline.remaining))
            facts = self._systemctl.facts(self._unit)
            return "" if facts.active == "active" else self._failure(facts, began)
        error = self._systemctl.explain(complaint, self._unit)
        if error is not None:
            raise error
        return self._failure(self._systemctl.facts(self._unit), began)

    def _failure(self, facts: Facts, began: float) -> str:
        if facts.result == "timeout":
            return f"it was not ready within {time.monotonic() - began:.1f} s (TimeoutStartSec)"
        return f"it {facts.ending()} after {time.monotonic() - began:.1f} s"

    def _end(self, process: Identity, *, asked: bool) -> Ending:
        try:
            facts = self._systemctl.facts(self._unit)
            if facts.pid != process.pid:
                self._notes.append("it was started beside its unit")
                ended = super()._end(process, asked=asked)
                if not facts.down:
                    self._stop_unit(facts)
                return ended
            began = time.monotonic()
            if asked and facts.active != "deactivating":
                self._say("waiting", f"process {process.pid} drains already")  # a second TERM would break that off
                ending.wait(process, Deadline(self.spec.stop_timeout_seconds))
            else:
                self._say("asked to stop", f"systemctl stop {self._unit}")
            how = self._stop_unit(facts, began)
        except SystemdError as error:
            return Ending(False, str(error))
        try:
            if process.alive():
                return Ending(False, f"process {process.pid} is still there after systemctl stop")
        except UnseenError as error:
            return Ending(False, str(error), unknown=True)
        if how.startswith("killed"):
            self._say("killed", how)
        # What it had started ends with its control group (KillMode=mixed), unless a drop-in says otherwise.
        return ending.sweep(Ending(True, how), process, Deadline(_MARGIN_SECONDS), self._say)

    def _stop_unit(self, before: Facts, began: float | None = None) -> str:
        """Let systemd end all of the unit; gives how that went, in words.

        Parameters
        ----------
        before : how it is; tells the unit's own stop timeout.
        began : when the stop did, on the monotonic clock; now without.

        Raises
        ------
        SystemdError : it refuses, or is not done in time.
        """
        began = time.monotonic() if began is None else began
        patience = max(before.stop_seconds, self.spec.stop_timeout_seconds) + _MARGIN_SECONDS
        self._systemctl.run(systemd.stop(self._unit), self._unit, Deadline(patience))
        took = time.monotonic() - began
        if self._prepared and took < self.spec.stop_timeout_seconds:
            return f"ended after {took:.1f} s"  # its next start follows at once: nothing more is asked
        facts = self._systemctl.facts(self._unit)
        if facts.active == "failed":
            with suppress(SystemdError):
                self._systemctl.run(systemd.reset(self._unit), self._unit, Deadline(_MARGIN_SECONDS))
        return f"killed after {took:.1f} s: it did not end on TERM" if facts.killed else f"ended after {took:.1f} s"


def _identity(pid: int) -> Identity | None:
    """Take the identity of what systemd has started; None where it has ended by now.

    Raises
    ------
    SystemdError : it cannot be seen.
    """
    try:
        return Identity.of(pid)
    except UnseenError as error:
        raise SystemdError(f"systemd has started it, yet {error}") from error
