"""Which hosts and slots a command is for: a stage's own, cut down by what the command line names."""

from __future__ import annotations

from collections.abc import Sequence

from ops.core.errors import UsageError
from ops.core.records import dataclass
from ops.core.settings import Host, Settings
from ops.core.slot import Slot


@dataclass(frozen=True)
class Selection:
    """What `--hosts`, `--roles` and `--processes` name; None for all there is."""

    hosts: tuple[str, ...] | None = None
    roles: tuple[str, ...] | None = None
    processes: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, hosts: str | None = None, roles: str | None = None, processes: str | None = None) -> Selection:
        """Read the options' comma-separated names.

        Raises
        ------
        UsageError : an option names nothing, or no process.
        """
        names = _names(processes, "--processes")
        for name in names or ():
            Slot.parse(name)
        return cls(_names(hosts, "--hosts"), _names(roles, "--roles"), names)

    def covers(self, slot: Slot) -> bool:
        """Whether a slot that the settings do not have is meant, too: nobody can name it, but its role."""
        return self.processes is None and (self.roles is None or slot.role in self.roles)


@dataclass(frozen=True)
class Place:
    """One host and those of its slots that a command is for."""

    host: Host
    slots: tuple[Slot, ...]


def slots_of(settings: Settings, host: Host) -> tuple[Slot, ...]:
    """Give all slots of a host: role after role, the main one first; after each its workers, if any."""
    own = settings.roles_of(host)
    kinds = [
        kind
        for role in settings.role_names
        if role in own
        for kind in ((role, settings.processes_of(role)), (settings.worker_role(role), settings.workers_of(role)))
    ]
    return tuple(Slot(role, index) for role, count in kinds for index in range(count))


def select(settings: Settings, selection: Selection) -> tuple[Place, ...]:
    """Give the hosts and slots of a stage that a selection names, in the order of the settings.

    Raises
    ------
    UsageError : it names a host, role or process that is not there, or nothing is left of the stage.
    """
    places = [Place(host, slots_of(settings, host)) for host in settings.hosts]
    _known("--hosts", "host", selection.hosts, [place.host.host for place in places], settings.stage)
    _known("--roles", "role", selection.roles, [*settings.role_names, *settings.worker_roles], settings.stage)
    if selection.hosts is not None:
        places = [place for place in places if place.host.host in selection.hosts]
    if selection.roles is not None:
        chosen = selection.roles
        places = [Place(place.host, tuple(slot for slot in place.slots if slot.role in chosen)) for place in places]
    if selection.processes is not None:
        there = dict.fromkeys(str(slot) for place in places for slot in place.slots)
        _known("--processes", "process", selection.processes, list(there), settings.stage)
        names = selection.processes
        places = [Place(place.host, tuple(slot for slot in place.slots if str(slot) in names)) for place in places]
    places = [place for place in places if place.slots]
    if not places:
        raise UsageError(
            "no process is left of this selection",
            where=f"stage {settings.stage}",
            hint="fab karafka.config shows which host has which role",
        )
    return tuple(places)


def _names(text: str | None, option: str) -> tuple[str, ...] | None:
    if text is None:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError(f"expected names separated by commas, got {text!r}", where=option)
    return names


def _known(option: str, kind: str, wanted: Sequence[str] | None, there: Sequence[str], stage: str) -> None:
    for name in wanted or ():
        if name not in there:
            what = f"stage {stage} has no {kind} {name!r} to choose; there are: {', '.join(there) or 'none'}"
            raise UsageError(what, where=option)
