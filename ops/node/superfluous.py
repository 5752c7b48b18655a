"""Slots in which something runs although the settings do not have them (any more): `processes` was made smaller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from ops.core.errors import UsageError
from ops.core.locks import Byte
from ops.core.protocol import ProcessReport, ProcessSpec, Request
from ops.core.records import replace
from ops.core.slot import DEFAULT_ROLE, Roster, Slot, SlotFiles
from ops.core.states import ALIVE, State
from ops.node import inspection
from ops.node.managers import Manager
from ops.node.occupancy import occupants


def reports(request: Request, manager: Manager) -> tuple[ProcessReport, ...]:
    """Report the living processes of this host that are in none of the roster's slots; without a roster none."""
    roster = request.roster
    if roster is None or not request.processes:
        return ()
    template = request.processes[0]
    specs = [
        replace(template, name=str(slot), files=SlotFiles.below(request.shared, roster.pid, slot))
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
    """Give the slots that are not in the roster, in order: those of living processes, and those of lock files.

    A process that lives in another slot's lock file is known by its own word.
    """
    folder = Path(SlotFiles.below(str(shared), roster.pid, Slot(DEFAULT_ROLE, 0)).lock).parent
    there = {one.lock: one.named for one in occupants(folder)}
    names = {there.get(path, path.stem) for path in (folder.glob("*.lock") if folder.is_dir() else ())}
    found = []
    for name in names - set(roster.names):
        with suppress(UsageError):
            found.append(Slot.parse(name))
    return iter(sorted(found))
