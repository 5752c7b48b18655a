"""`fab karafka.doctor`: what is wrong with the hosts, and the command that mends it."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.shell.door import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.core.checkup import Finding
    from ops.core.settings import Settings
    from ops.core.survey import Survey
    from ops.fleet.inventory import Place
    from ops.fleet.tasks.hosting import HostState
    from ops.fleet.transport import Transport

Text = str | None


@command(help={"hosts": "comma-separated hosts; all of the stage without it", "json": "print JSON"})
def doctor(context: Context, hosts: Text = None, json: bool = False) -> int:
    """Look for what is wrong: drift, versions, zombies, boot, sudo, disk, clock; exit 1 for any but a remark."""
    from ops.core.checkup import examine_processes
    from ops.core.errors import ExitCode
    from ops.fleet.report import Kind
    from ops.fleet.tasks.hosting import look
    from ops.fleet.tasks.project import load_places, load_settings, make_staying_transport

    settings = load_settings(context)
    places = load_places(context, settings, hosts, None, None)
    with make_staying_transport(context, settings) as transport:
        asked = time.time()
        states = look(settings, places, transport)
        found = _of_hosts(settings, states, asked)
        answered = {one.outcome.host for one in states if one.facts is not None}
        if answered:
            found += examine_processes(_survey(settings, places, transport), answered)
    unreachable = [one.outcome.host for one in states if one.outcome.kind is Kind.UNREACHABLE]
    _show(settings, states, found, unreachable, as_json=json)
    if unreachable:
        return int(ExitCode.UNREACHABLE)
    return int(ExitCode.FAILED if any(not one.remark for one in found) else ExitCode.DONE)


def _of_hosts(settings: Settings, states: Sequence[HostState], asked: float) -> tuple[Finding, ...]:
    """Examine the hosts that answered; one whose agent does not is a finding itself."""
    from ops import __version__
    from ops.core.checkup import Finding, Subject, examine
    from ops.fleet.plan import keeping_of
    from ops.fleet.report import Kind
    from ops.fleet.tasks.hosting import unit_writes

    found: list[Finding] = []
    for one in states:
        host = one.outcome.host
        if one.facts is not None:
            kept = keeping_of(settings)
            named = one.place.host.python or settings.python or ""
            writable = unit_writes(settings, one.place.host)
            found += examine(
                Subject(host, kept, one.facts, one.changes, __version__, asked, one.answered, named, writable)
            )
        elif one.outcome.kind is not Kind.UNREACHABLE:
            trouble = one.outcome.trouble.splitlines()[0].removeprefix(f"{host}: ")
            found.append(Finding(host, "agent", trouble, f"fab karafka.setup --hosts {host}"))
    return tuple(found)


def _survey(settings: Settings, places: tuple[Place, ...], transport: Transport) -> Survey:
    from ops.core.protocol import Verb
    from ops.fleet.plan import make_plan
    from ops.fleet.survey import FleetLook
    from ops.fleet.tasks.showing import Silent

    return FleetLook(settings, make_plan(settings, places, Verb.STATUS), transport, Silent()).surveyor.once()


def _show(
    settings: Settings,
    states: Sequence[HostState],
    found: Sequence[Finding],
    unreachable: Sequence[str],
    *,
    as_json: bool,
) -> None:
    from ops.core.records import asdict
    from ops.fleet.tasks.showing import print_json
    from ops.render.findings import print_findings

    if as_json:
        hosts = [
            {"host": one.outcome.host, "outcome": str(one.outcome.kind)}
            | ({"error": one.outcome.trouble} if one.outcome.trouble else {})
            for one in states
        ]
        print_json({"stage": settings.stage, "hosts": hosts, "findings": [asdict(one) for one in found]})
        return
    if found:
        print_findings(found, sys.stdout)
    if not unreachable and all(one.remark for one in found):
        print(f"{settings.stage}: nothing is wrong with {len(states)} host{'s' * (len(states) != 1)}")
