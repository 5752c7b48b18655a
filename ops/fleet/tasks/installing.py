"""`fab karafka.install|uninstall|enable|disable`: what keeps the processes on their hosts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from invoke.context import Context

from ops.shell.door import command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ops.core.settings import Settings
    from ops.fleet.lease import Held
    from ops.fleet.plan import Plan
    from ops.fleet.report import Report
    from ops.fleet.tasks.hosting import HostState
    from ops.fleet.transport import Transport

Text = str | None
_PAST = {"uninstall": "uninstalled", "enable": "enabled", "disable": "disabled"}
_HELP = {
    "hosts": "comma-separated hosts; all of the stage without it",
    "json": "print JSON",
    "lock-wait": "seconds to wait for another operator's lease to end (default: 0)",
}


@command(
    help={
        **_HELP,
        "dry-run": "name the files that would be put there or removed, do nothing",
        "diff": "show how they differ from what is there, do nothing",
    }
)
def install(
    context: Context, hosts: Text = None, dry_run: bool = False, diff: bool = False, json: bool = False,
    lock_wait: int = 0,
) -> int:  # fmt: skip
    """Put units, programs, log rotation in place as the settings render them; verified first, restarts nothing."""
    from ops.fleet.tasks.hosting import look
    from ops.fleet.tasks.installed import outcomes, print_answers, print_changes
    from ops.fleet.tasks.project import load_places, load_settings, make_staying_transport

    settings = load_settings(context)
    places = load_places(context, settings, hosts, None, None)
    with make_staying_transport(context, settings) as transport:
        if dry_run or diff:
            states = look(settings, places, transport)
            print_changes(settings, states, in_full=diff, as_json=json)
            return exit_code(states)
        with _hold(context, settings, transport, "install", lock_wait) as lease:
            states = look(settings, places, transport)
            report = apply(settings, states, transport, lease)
    print_answers(settings, outcomes(states, report), "installed", as_json=json)
    return exit_code(states) or int(report.exit_code)


@command(help=_HELP)
def uninstall(context: Context, hosts: Text = None, json: bool = False, lock_wait: int = 0) -> int:
    """Remove what install has put there; refused while the processes run."""
    return _simply(context, "uninstall", hosts, lock_wait, as_json=json)


@command(help=_HELP)
def enable(context: Context, hosts: Text = None, json: bool = False, lock_wait: int = 0) -> int:
    """Let the processes start with their hosts."""
    return _at_boot(context, "enable", hosts, lock_wait, as_json=json)


@command(help=_HELP)
def disable(context: Context, hosts: Text = None, json: bool = False, lock_wait: int = 0) -> int:
    """Let the processes not start with their hosts."""
    return _at_boot(context, "disable", hosts, lock_wait, as_json=json)


def apply(settings: Settings, states: Sequence[HostState], transport: Transport, lease: Held) -> Report:
    """Make the hosts that answered have what is rendered for them; those that have it already are left alone."""
    from ops.core.drift import call_of
    from ops.fleet.installing import install_plan

    calls = {one.place.host.host: call_of(one.files, one.changes) for one in states if one.facts and one.changes}
    return _carry_out(install_plan(settings, tuple(one.place for one in states), calls), transport, lease)


def _simply(context: Context, verb: str, hosts: Text, lock_wait: int, *, as_json: bool) -> int:
    """Plan a verb for whole hosts, carry it out under the lease, show what was done."""
    from ops.core.protocol import Verb
    from ops.fleet.plan import make_plan
    from ops.fleet.tasks.installed import print_answers
    from ops.fleet.tasks.project import load_places, load_settings, make_staying_transport

    settings = load_settings(context)
    plan = make_plan(settings, load_places(context, settings, hosts, None, None), Verb(verb))
    with (
        make_staying_transport(context, settings) as transport,
        _hold(context, settings, transport, verb, lock_wait) as lease,
    ):
        report = _carry_out(plan, transport, lease)
    print_answers(settings, report.outcomes, _PAST[verb], as_json=as_json)
    return int(report.exit_code)


def _at_boot(context: Context, verb: str, hosts: Text, lock_wait: int, *, as_json: bool) -> int:
    """Let the processes start with their hosts, or not."""
    from ops.core.errors import UsageError
    from ops.core.keeping import PIDFILE, SUPERVISOR
    from ops.fleet.tasks.hosting import look
    from ops.fleet.tasks.installed import outcomes, print_answers
    from ops.fleet.tasks.project import load_places, load_settings, make_staying_transport

    settings = load_settings(context)
    if settings.manager == PIDFILE:
        raise UsageError(
            "processes with a pidfile alone are started by nobody when their host boots",
            where=f"karafka.{verb}",
            hint="fab karafka.migrate systemd (or supervisor) gives them to a manager that does; "
            "or a line for @reboot in a crontab: inv start",
        )
    if settings.manager != SUPERVISOR:
        return _simply(context, verb, hosts, lock_wait, as_json=as_json)
    places = load_places(context, settings, hosts, None, None)
    with (
        make_staying_transport(context, settings) as transport,
        _hold(
            context, settings, transport, verb, lock_wait
        ) as lease,  # supervisor's word for it stands in its conf file
    ):
        states = look(settings, places, transport, enabled=verb == "enable")
        report = apply(settings, states, transport, lease)
    print_answers(settings, outcomes(states, report), _PAST[verb], as_json=as_json)
    return exit_code(states) or int(report.exit_code)


def _hold(context: Context, settings: Settings, transport: Transport, reason: str, lock_wait: int) -> Held:
    from ops.fleet.tasks.leasing import hold
    from ops.render.progress import Progress

    return hold(context, settings, transport, reason, lock_wait, Progress(sys.stderr).say)


def _carry_out(plan: Plan, transport: Transport, lease: Held) -> Report:
    from ops.fleet.rollout import carry_out
    from ops.fleet.tasks.hosting import narrator

    return carry_out(plan.under(lease.fence), transport, narrator(talkative=True), permit=lease.check)


def exit_code(states: Sequence[HostState]) -> int:
    """Give the exit code of a look: 4 where a host could not be reached, 1 where one has no agent that answers."""
    from ops.core.errors import ExitCode
    from ops.fleet.report import Kind

    kinds = {one.outcome.kind for one in states if one.facts is None}
    if kinds - {Kind.UNREACHABLE}:
        return int(ExitCode.FAILED)
    return int(ExitCode.UNREACHABLE if kinds else ExitCode.DONE)
