"""Whether a process runs what `current` leads to, and the restart that leaves alone what does."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.process import already_on
from ops.core.protocol import ProcessReport, ProcessSpec
from ops.core.records import replace
from ops.core.states import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ops.node.operation import Operation

_UNDER_WAY = frozenset({State.STARTING, State.STANDBY, State.STOPPING})


def why(report: ProcessReport, spec: ProcessSpec) -> str:
    """Return why a restart of what is outdated is for a process; empty where it runs what `current` leads to.

    A release is known by its name, which is noted when a process starts, and by its folder. So what was copied into a
    folder in place is not seen. A process that does not run, or is not proven to, counts too: its release is nobody's.
    """
    if report.state is not State.RUNNING:
        return f"it is {report.state}"
    return _other_release(report, spec) or report.outdated  # whoever replaces it may be of any release


def restart(operation: Operation) -> ProcessReport:
    """Restart a process; where only what is outdated is to be, look once more, now that no other agent is at it.

    One that another agent has just started, as its operator was killed, is waited for.
    """
    spec = operation.spec
    if not spec.only_outdated:
        return operation.restart()
    operation.await_replacement()
    found = Deadline(spec.start_timeout_seconds).poll(lambda: _settled(operation)) or operation.inspected()
    if why(found, spec):
        return operation.restart()
    return replace(found, message=already_on(found.release), kept=True)


def _settled(operation: Operation) -> ProcessReport | None:
    """Look at a slot; None while what runs `current` there is on its way up or down."""
    found = operation.inspected()
    return None if found.state in _UNDER_WAY and not _other_release(found, operation.spec) else found


def _other_release(report: ProcessReport, spec: ProcessSpec) -> str:
    """Say why the release of a process is not proven to be the one that `current` leads to."""
    folder = Path(os.path.realpath(spec.directory))
    name = Path(spec.directory).name
    if not folder.is_dir():
        return f"{name} leads to no folder"
    if not Path(spec.directory).is_symlink():
        return f"{name} is a folder and no link to a release, so that nobody can tell which one it runs"
    if not report.release:
        return "it is not known which release it runs"
    if report.release != folder.name:
        return f"runs release {report.release}, {name} is {folder.name}"
    with suppress(OSError):  # it has just ended, or another user's: its name has to do
        if str(Path(f"/proc/{report.pid}/cwd").readlink()) == f"{folder} (deleted)":  # the kernel's words
            return f"runs a release {report.release} whose folder was removed; there is another one by that name"
    return ""
