"""`fab deploy`, `deploy.rollback|check|releases|cleanup|unlock`: releases onto the fleet, under the stage's lease."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from ops.fleet.tasks.rollouts import unlock
from ops.shell.door import command

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ops.core.settings import Settings
    from ops.core.telling import Narrator
    from ops.fleet.deploy.fleet import Fleet
    from ops.fleet.deploy.hooks import Hook
    from ops.fleet.deploy.outcome import Restart
    from ops.fleet.lease import Held

__all__ = ["check", "cleanup", "deploy", "releases", "rollback", "unlock"]

Text = str | None
_HELP = {
    "hosts": "comma-separated hosts; all of the stage without it",
    "json": "print JSON: a line for each event",
    "dry-run": "print the whole plan with every hook, do nothing",
    "lock-wait": "seconds to wait for another operator's lease to end (default: 0)",
}


@command(
    help={
        **_HELP,
        "artifact": "a .tar.gz or .whl built before; without it the release comes from the setting repo_url",
        "branch": "branch, tag or commit; default: the setting `branch`",
    }
)
def deploy(
    context: Context,
    hosts: Text = None,
    artifact: Text = None,
    branch: Text = None,
    dry_run: bool = False,
    json: bool = False,
    lock_wait: int = 0,
) -> int:
    """Deploy a release: make it on all hosts, let current lead to it, restart (exit 12: rolled back)."""
    import re
    from pathlib import Path

    from ops.core.accounts import home_path
    from ops.core.errors import SettingsError, UsageError
    from ops.core.release import BRANCH
    from ops.fleet.deploy.artifact import describe
    from ops.fleet.deploy.flow import deploy_flow
    from ops.fleet.deploy.work import Work, wanted_steps

    fleet, hooks, directory = _prepare(context, hosts, json=json)
    settings = fleet.settings
    if branch is not None and not re.fullmatch(BRANCH, branch):
        raise UsageError(f"expected a branch, tag or commit, got {branch!r}", where="--branch")
    path = Path(home_path(artifact)) if artifact else None
    if path is None and settings.repo_url is None:
        hint = "set repo_url to a git repository that the hosts reach, or give --artifact FILE"
        raise SettingsError("there is nothing to deploy", where="karafka.repo_url", hint=hint)
    described = describe(path) if path is not None else None
    flow = deploy_flow(hooks, wanted_steps(fleet, git=path is None))
    source = branch or (settings.branch if path is None else path.name)
    if dry_run:
        return _preview(fleet, flow, _source_text(settings, path, source), as_json=json)

    def work(under: Fleet) -> Work:
        return Work(under, _performer(), path=path, artifact=described, branch=source)

    return _carry_out(context, fleet, flow, work, directory, lock_wait)


@command(help={**_HELP, "release": "the release to go back to; without it the good one before current"})
def rollback(
    context: Context,
    hosts: Text = None,
    release: Text = None,
    dry_run: bool = False,
    json: bool = False,
    lock_wait: int = 0,
) -> int:
    """Let current lead to the release before, and restart; the one that is left is marked bad."""
    from ops.fleet.deploy.flow import rollback_flow
    from ops.fleet.deploy.work import Work

    fleet, hooks, directory = _prepare(context, hosts, json=json)
    flow = rollback_flow(hooks)
    if dry_run:
        return _preview(fleet, flow, f"to release {release}" if release else "to the release before", as_json=json)

    def work(under: Fleet) -> Work:
        return Work(under, _performer(), wanted=release or "")

    return _carry_out(context, fleet, flow, work, directory, lock_wait)


@command(help={"hosts": _HELP["hosts"], "json": _HELP["json"]})
def check(context: Context, hosts: Text = None, json: bool = False) -> int:
    """Look whether a deploy could begin: permissions, space, linked files, brokers, clocks; makes missing folders."""
    from ops.core.telling import Said
    from ops.fleet.deploy.revision import resolve
    from ops.fleet.deploy.work import check as look

    fleet, _, _ = _prepare(context, hosts, json=json)
    look(fleet, None)
    if fleet.settings.repo_url is not None:
        resolve(fleet, fleet.settings.branch, look_only=True)
    fleet.narrator.tell(Said(f"{len(fleet.places)} hosts are fit for a deploy"))
    return 0


@command(help={"hosts": _HELP["hosts"], "json": "print JSON"})
def releases(context: Context, hosts: Text = None, json: bool = False) -> int:
    """Show the releases of each host: which is current, which are bad and why."""
    from ops.core.records import asdict
    from ops.core.release import DeployAction
    from ops.fleet.deploy.fleet import answers
    from ops.fleet.tasks.showing import print_json
    from ops.render.deployment import releases_table
    from ops.render.streams import width_of_terminal

    fleet, _, _ = _prepare(context, hosts, json=False)
    report = fleet.report(DeployAction.LIST)
    found = answers(report.outcomes)
    if json:
        print_json({"stage": fleet.settings.stage, "hosts": {name: asdict(one) for name, one in found.items()}})
    else:
        rows = [(name, one.current, one.releases) for name, one in found.items()]
        print("\n".join(releases_table(rows, width_of_terminal(sys.stdout))))
    return int(report.exit_code)


@command(help={"hosts": _HELP["hosts"], "json": _HELP["json"], "lock-wait": _HELP["lock-wait"]})
def cleanup(context: Context, hosts: Text = None, json: bool = False, lock_wait: int = 0) -> int:
    """Remove old releases now: all but keep_releases good ones, current, the one before, and those that run."""
    from ops.core.records import replace
    from ops.core.release import DeployAction

    fleet, _, _ = _prepare(context, hosts, json=json)
    with _lease(context, fleet, "deploy.cleanup", lock_wait) as lease:
        replace(fleet, lease=lease).ask(
            DeployAction.CLEANUP, keep=fleet.settings.keep_releases, performer=_performer()
        )  # fmt: skip
    return 0


def _prepare(context: Context, hosts: Text, *, json: bool) -> tuple[Fleet, tuple[Hook, ...], Path]:
    """Give the hosts, all hooks, and the project's folder."""
    from pathlib import Path

    from ops.fleet.deploy import hooks
    from ops.fleet.deploy.fleet import Fleet
    from ops.fleet.tasks.project import load_places, load_settings, make_staying_transport
    from ops.render.ci import narrated
    from ops.render.deployment import ConsoleNarrator, JSONNarrator
    from ops.shell.early import project_folder

    settings = load_settings(context)
    places = load_places(context, settings, hosts, None, None)
    lines: Narrator = JSONNarrator(sys.stdout) if json else ConsoleNarrator(sys.stderr, sys.stdout)
    narrator = narrated(lines, sys.stderr, sections=not json)
    directory = project_folder(Path.cwd(), "fabfile") or Path.cwd()
    found = (
        *((hooks.RESTART,) if settings.default_hooks else ()),  # first, as capistrano-karafka's own
        *hooks.functions(),
        *hooks.executables(directory, {name: one.on for name, one in settings.hooks.items()}),
    )
    return Fleet(settings, places, make_staying_transport(context, settings), narrator, None), found, directory


def _carry_out(context: Context, fleet: Fleet, flow: Any, work: Any, directory: Path, lock_wait: int) -> int:
    """Take the lease, and carry a flow out under it."""
    from ops.core.records import replace
    from ops.fleet.deploy.execution import Execution

    with _lease(context, fleet, flow.name, lock_wait) as lease:
        under = replace(fleet, lease=lease)
        return Execution(flow, under, work(under), _restart(under, lease), context, directory).run()


def _lease(context: Context, fleet: Fleet, reason: str, lock_wait: int) -> Held:
    from ops.core.telling import Said
    from ops.fleet.tasks.leasing import hold

    def say(text: str) -> None:
        fleet.narrator.tell(Said(text))

    return hold(context, fleet.settings, fleet.transport, reason, lock_wait, say)


def _restart(fleet: Fleet, lease: Held) -> Restart:
    """Give what restarts processes as `fab karafka.restart` does, and tells the deploy's narrator."""
    from ops.core.protocol import Verb
    from ops.core.telling import Said
    from ops.fleet.deploy.fleet import Teller
    from ops.fleet.deploy.outcome import Restarted
    from ops.fleet.inventory import Selection
    from ops.fleet.lease_host import lease_host
    from ops.fleet.outdated import only_outdated
    from ops.fleet.plan import make_plan
    from ops.fleet.tasks.changes import restart_under, store

    settings, transport, narrator = fleet.settings, fleet.transport, fleet.narrator

    def restart(hosts: Sequence[str], force: str, *, outdated: bool) -> Restarted:
        plan = make_plan(settings, fleet.only(hosts).places, Verb.RESTART).under(lease.fence)
        plan = only_outdated(plan) if outdated else plan
        report, evidence = restart_under(
            lease, settings, plan, transport, Teller(narrator), lambda text: narrator.tell(Said(text)),
            covers=Selection().covers, force=force,
        )  # fmt: skip
        store(evidence, lease_host(settings, transport), lambda text: narrator.tell(Said(text, failed=True)))
        return Restarted(report, evidence.as_json(), evidence.name)

    return restart


def _preview(fleet: Fleet, flow: Any, source: str, *, as_json: bool) -> int:
    from ops.fleet.deploy import flow as flows
    from ops.fleet.tasks.showing import print_json

    if as_json:
        print_json({"stage": fleet.settings.stage, "hosts": list(fleet.names), "source": source, **flows.as_json(flow)})
        return 0
    print(f"{flow.name}, stage {fleet.settings.stage}: nothing is done, this is the plan")
    print(f"source: {source}")
    print(f"hosts:  {', '.join(fleet.names)}")
    print("\n".join(flows.lines(flow)))
    return 0


def _source_text(settings: Settings, path: Path | None, branch: str) -> str:
    from ops.fleet.masking import masked

    return f"artifact {path}" if path is not None else f"{branch} of {masked(settings.repo_url)}"


def _performer() -> str:
    """Say who deploys: whoever started the pipeline, else this user."""
    import os

    from ops.core.accounts import user_name

    return os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN") or user_name()
