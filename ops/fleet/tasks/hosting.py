"""What the tasks about hosts share: facts asked for, files rendered for them, and both compared."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from ops.core.records import dataclass

if TYPE_CHECKING:
    from ops.core.drift import Change
    from ops.core.installation import Facts, HostFile
    from ops.core.protocol import Event
    from ops.core.settings import Host, Settings
    from ops.fleet.inventory import Place
    from ops.fleet.report import Outcome
    from ops.fleet.tasks.showing import Narrator
    from ops.fleet.transport import Transport

_HOME = "~"


@dataclass(frozen=True)
class HostState:
    """One host as it is, beside what the settings render for it.

    Attributes
    ----------
    outcome : of the look; the rest is empty where it did not answer.
    changes : what differs.
    answered : when, seconds since 1970 by the operator's clock.
    """

    place: Place
    outcome: Outcome
    facts: Facts | None = None
    files: tuple[HostFile, ...] = ()
    changes: tuple[Change, ...] = ()
    answered: float = 0.0


def host_files(
    settings: Settings,
    host: Host,
    *,
    user: str,
    group: str,
    home: str,
    enabled: bool = False,
    program_file: str = "",
    python: str = "",
) -> tuple[HostFile, ...]:
    """Render all files of a host by which its manager keeps the processes.

    Parameters
    ----------
    user, group : whom the processes run as.
    enabled : whether supervisor starts them with itself.
    program_file : where supervisor's conf file goes; empty for the usual place.
    python : the tool's interpreter there; empty for where the settings have it.

    Raises
    ------
    SettingsError : a value cannot be written into such a file.
    """
    from ops.core.installation import HostFile
    from ops.core.keeping import SUPERVISOR, SYSTEMD
    from ops.fleet.plan import process_specs
    from ops.render.programs import supervisor_files
    from ops.render.rotation import rotation_files
    from ops.render.units import systemd_files

    specs = process_specs(settings, host)
    if settings.manager == SYSTEMD:
        records = systemd_files(settings, host, specs, user=user, home=home, python=python)
    else:
        records = rotation_files(settings, host, specs, user=user, group=group)
        if settings.manager == SUPERVISOR:
            programs = supervisor_files(
                settings, host, specs, user=user, enabled=enabled, conf=program_file, python=python
            )
            records = (*programs, *records)
    return tuple(HostFile(one.path, one.text, one.mode) for one in records)


def look(
    settings: Settings, places: tuple[Place, ...], transport: Transport, *, enabled: bool | None = None
) -> tuple[HostState, ...]:
    """Ask hosts what they are like, and compare that with what the settings render.

    Parameters
    ----------
    enabled : whether supervisor is to start the processes with itself; None for as it does now.

    Raises
    ------
    SettingsError : a value cannot be written into a file.
    """
    from ops.core.drift import changes
    from ops.fleet.installing import facts_plan
    from ops.fleet.rollout import carry_out

    def paths(host: Host) -> tuple[str, ...]:
        return tuple(one.path for one in host_files(settings, host, user=_HOME, group=_HOME, home=_HOME))

    watcher = _Clock()
    report = carry_out(facts_plan(settings, places, paths), transport, watcher)
    if report.interrupted:
        raise KeyboardInterrupt
    states = []
    for place, outcome in zip(places, report.outcomes, strict=True):
        facts = outcome.response.facts if outcome.response else None
        if facts is None:
            states.append(HostState(place, outcome))
            continue
        on = bool(facts.autostart) if enabled is None else enabled
        user, group = _whose(settings, place.host.host, facts)
        files = host_files(
            settings, place.host, user=user, group=group, home=facts.home, enabled=on,
            program_file=facts.program_file, python=facts.interpreter,
        )  # fmt: skip
        found = changes(files, facts, settings.manager)
        states.append(HostState(place, outcome, facts, files, found, watcher.at[outcome.host]))
    return tuple(states)


def unit_writes(settings: Settings, host: Host) -> tuple[str, ...] | None:
    """Return the folders that units let the processes of a host write to; None where none keeps them from others.

    Raises
    ------
    SettingsError : a setting has a folder among them that must not be one.
    """
    from pathlib import PurePosixPath

    from ops.core.keeping import SYSTEMD
    from ops.fleet.plan import shared_folder
    from ops.render.units import writable_folders

    if settings.manager != SYSTEMD or settings.systemd.scope != "system":
        return None
    return tuple(writable_folders(settings, PurePosixPath(shared_folder(settings, host))))


class _Clock:
    """Says what keeps hosts from answering, and notes when they did."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self._narrator = narrator()

    def event(self, host: str, event: Event) -> None:
        """Say what an agent warns of."""
        self._narrator.event(host, event)

    def finished(self, outcome: Outcome) -> None:
        """Note when."""
        self.at[outcome.host] = time.time()
        self._narrator.finished(outcome)

    def interrupted(self, hosts: tuple[str, ...]) -> None:
        """Say nothing: a look is simply left."""


def narrator(*, talkative: bool = False) -> Narrator:
    """Give who says on standard error what keeps hosts from answering."""
    from ops.fleet.tasks.showing import Narrator
    from ops.render.progress import Progress

    return Narrator(Progress(sys.stderr), talkative=talkative, in_full=True)


def _whose(settings: Settings, host: str, facts: Facts) -> tuple[str, str]:
    """Say whom the processes run as: the owner of deploy_to, who has to be the one that works there, too.

    Raises
    ------
    SettingsError : it is another one, whose processes could not use what the agent makes, or the other way round.
    """
    from ops.core.errors import SettingsError
    from ops.core.keeping import PIDFILE, SYSTEMD

    owner = facts.owner or facts.user
    if settings.manager != PIDFILE and owner != facts.user:
        what = f"on {host} deploy_to belongs to {owner}, whose processes {settings.manager} would keep"
        hint = f"give it to {facts.user}, or `become: {{user: {owner}}}`"
        raise SettingsError(f"{what}, and {facts.user} works there", where="karafka.deploy_to", hint=hint)
    wanted = settings.systemd.user
    if settings.manager == SYSTEMD and settings.systemd.scope == "system" and wanted not in (None, owner):
        what = f"{wanted} is to run the processes, but on {host} deploy_to belongs to {owner}"
        hint = f"give it to {wanted}: they have to lock, write and log there; root may deploy it for {wanted}"
        raise SettingsError(what, where="karafka.systemd.user", hint=hint)
    return owner, facts.owner_group or facts.group
