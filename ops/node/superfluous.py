"""Slots in which something runs although the settings do not have them (any more): `processes` was made smaller."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from ops.core.locks import Byte
from ops.core.protocol import ProcessReport, ProcessSpec, Request
from ops.core.records import replace
from ops.core.slot import Roster, Slot, SlotFiles
from ops.core.states import ALIVE, State
from ops.node import inspection
from ops.node.managers import Manager

_LOCK = re.compile(r"(?P<stem>.+)-(?P<index>[0-9]{1,6})\.lock")


def reports(request: Request, manager: Manager) -> tuple[ProcessReport, ...]:
    """Report the living processes of this host that are in none of the roster's slots; without a roster none."""
    roster = request.roster
    if roster is None or not request.processes:
        return ()
    template = request.processes[0]
    specs = [
        replace(template, name=str(slot), files=SlotFiles.below(request.shared, roster.pid, slot, roster.main_role))
        for slot in slots_beside(Path(request.shared), roster)
    ]
    found = manager.statuses(specs) if specs else ()
    return tuple(one for one, spec in zip(found, specs) if _is_lived_in(one, spec))


def _is_lived_in(report: ProcessReport, spec: ProcessSpec) -> bool:
    """Whether somebody is in a slot, or about to be."""
    if report.state is State.UNKNOWN:  # as an empty one is while its manager cannot be asked
        return inspection.asker(spec)(Byte.OWNER) is not None
    return report.state in ALIVE or report.state is State.CRASH_LOOPING


def slots_beside(shared: Path, roster: Roster) -> Iterator[Slot]:
    """Give the slots that have a lock file here and are not in the roster, in order."""
    stem = PurePosixPath(roster.pid).stem
    folder = Path(SlotFiles.below(str(shared), roster.pid, Slot(roster.main_role, 0), roster.main_role).lock).parent
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _LOCK.fullmatch(path.name)
        if match:
            role = roster.main_role if match["stem"] == stem else match["stem"]
            found.append(Slot(role, int(match["index"])))
    return (slot for slot in sorted(found) if str(slot) not in roster.names)
