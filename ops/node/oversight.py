"""How a slot is, with what supervisord says of its program beside what is found in the slot."""

from __future__ import annotations

from pathlib import Path

from ops.core.protocol import ProcessReport, ProcessSpec
from ops.core.records import replace
from ops.core.states import State
from ops.node import logtail, procfs
from ops.node.record import Intent, SlotRecord
from ops.node.supervisord import LOOPING, Program
from ops.node.wrapped import Stage, Wrapped


def trouble(program: Program) -> str:
    """Say why a program does not run."""
    why = program.trouble[:1].lower() + program.trouble[1:]
    return f"supervisor says {program.state}" + (f": {why}" if why else "")


def seen(
    report: ProcessReport, spec: ProcessSpec, program: Program | None, lines: int, *, told: bool = False
) -> ProcessReport:
    """Add what supervisord says.

    Parameters
    ----------
    program : the slot's program; None for one that supervisord does not know.
    lines : how many log lines a crash loop shows.
    told : the report's message says what an operation did, so it stays.
    """
    state: State = report.state
    message = ""
    if state is State.UNKNOWN:
        return report
    if program is None:
        message = "supervisord does not know its program: fab karafka.install"
    elif report.pid is not None:
        state, message = _present(report, report.pid, spec, program)
    elif program.state in LOOPING and not _given_up_by_hand(spec, program):
        state, message = State.CRASH_LOOPING, "; ".join(filter(None, (trouble(program), _how(spec))))
        report = replace(report, log=report.log or logtail.tail(Path(spec.files.log), lines))
    elif program.state in ("STARTING", "RUNNING"):
        state = State.STARTING
    elif program.state == "STOPPING":
        state = State.STOPPING
    elif program.state == "EXITED":
        message = f"{_how(spec) or f'it exited with {program.exit_status}'}; supervisor leaves it at that"
    elif report.state is State.STOPPED and report.message:  # the agent's record does not know of it
        message = "supervisor was told to stop it"
    return replace(report, state=state, message=report.message if told or not message else message)


def unseen(report: ProcessReport, reason: str) -> ProcessReport:
    """Say how a slot is while supervisord cannot be asked: of an empty one nobody knows what becomes of it."""
    state = report.state if report.pid is not None else State.UNKNOWN
    return replace(report, state=state, message="; ".join(filter(None, (report.message, reason))))


def keeps(program: Program, pid: int) -> bool:
    """Whether a process is the one that a program has started."""
    return program.pid != 0 and procfs.parent(pid) == program.pid


def _present(report: ProcessReport, pid: int, spec: ProcessSpec, program: Program) -> tuple[State, str]:
    if not keeps(program, pid):
        return report.state, "it does not run under supervisor: a restart moves it there"
    note = _note(spec)
    own = note is not None and note.process is not None and note.process.pid == pid  # else its wrapper is just at it
    if report.state is State.RUNNING and note is not None and (not own or note.stage is Stage.STARTING):
        return State.STARTING, ""
    return State.STOPPING if report.state is State.RUNNING and program.state == "STOPPING" else report.state, ""


def _given_up_by_hand(spec: ProcessSpec, program: Program) -> bool:
    """Whether an operator stopped it after supervisor had given it up: that state stays until the next start."""
    try:
        record = SlotRecord.read(Path(spec.files.record))
        written = Path(spec.files.wrapped).stat().st_mtime  # supervisor tells whole seconds
    except FileNotFoundError:
        written = 0.0
    except OSError:
        return False
    ended_at = max(program.stopped_at, written)
    return program.state == "FATAL" and record.intent is Intent.DOWN and record.phase_at > ended_at


def _how(spec: ProcessSpec) -> str:
    note = _note(spec)
    return note.how if note is not None and note.stage in (Stage.FAILED, Stage.DIED) else ""


def _note(spec: ProcessSpec) -> Wrapped | None:
    try:
        return Wrapped.read(Path(spec.files.wrapped))
    except OSError:
        return None
