"""What of a stage's settings types alone cannot say: each trouble by its key."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from difflib import get_close_matches

import msgspec

from ops.core import linked, section_texts, section_topics, tool
from ops.core.broker_address import trouble
from ops.core.release import HOOK_FILE
from ops.core.settings import Settings
from ops.core.slot import ROLE


def troubles(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give what is wrong, the key with each; who takes one has to stop there, as the next checks build on it."""
    yield from section_texts.troubles(msgspec.to_builtins(settings))
    if not settings.role_names:
        yield "role", "expected at least one role"
    if what := _no_folder(settings.deploy_to):
        yield "deploy_to", what
    for key, value in (("pid", settings.pid), ("env_file", settings.env_file)):
        if value.startswith("/") or ".." in value.split("/") or not value:
            yield key, f"expected a path below shared/, got {value!r}"
    try:
        argv = settings.argv
    except ValueError as error:
        yield "command", f"{error}: {settings.command!r}"
    if not argv or not argv[0]:
        yield "command", "expected a command, got nothing"
    try:
        links = linked.links(settings.linked_dirs, settings.linked_files)
    except linked.LinkedError as error:
        yield error.key, error.what
    for one in links:
        if settings.build is True and one.path.split("/")[0] == ".venv":
            yield one.key, f"{one.path!r}: the default build makes one in each release, over what is there; set build"
    source = settings.repo_url or ""
    if "://" in source and " " in source:  # whose password it may be part of, so it is not shown
        yield "repo_url", "expected a URL without blanks; one of a password or a path is written %20"
    tree = settings.repo_tree
    if tree is not None and ({"", ".", ".."} & set(tree.rstrip("/").split("/")) or not tree.isprintable()):
        yield "repo_tree", f"expected a folder of the repository, got {tree!r}"
    try:
        build = settings.build_argv
    except ValueError as error:
        yield "build", f"{error}: {settings.build!r}"
    if not isinstance(settings.build, bool) and not build:
        yield "build", "expected a command, true or false, got nothing"
    for name in settings.hooks:
        if not HOOK_FILE.fullmatch(name):
            yield f"hooks.{name}", "no name of a hook: before-<stage> or after-<stage>, with any ending"
    if settings.worker_roles:
        try:
            worker = settings.worker_argv
        except ValueError as error:
            yield "worker_command", f"{error}: {settings.worker_command!r}"
        if not worker or not worker[0]:
            yield "worker_command", f"expected the command of a worker; {settings.command!r} does not tell it"
    for broker in settings.kafka.brokers:
        if unfit := trouble(broker):
            yield "kafka.brokers", unfit
    yield from section_topics.troubles(settings.kafka.topics)
    supervisor = settings.supervisor
    folders = {"supervisor.socket": supervisor.socket}
    for key in ("conf", "conf_d", "credentials"):
        if (named := getattr(supervisor, key)) is not None:
            folders[f"supervisor.{key}"] = named
    for key, value in (folders | {"logrotate_d": settings.logrotate_d}).items():
        if not value.startswith("/"):
            yield key, f"expected an absolute path, got {value!r}"
    yield from tool.troubles(settings.tool)
    if not _is_absolute(settings.python):
        yield "python", f"expected the absolute path of an interpreter, got {settings.python!r}"
    seen: set[str] = set()
    for index, host in enumerate(settings.hosts):
        if not _is_absolute(host.python):
            yield f"hosts[{index}].python", f"expected the absolute path of an interpreter, got {host.python!r}"
        if host.host in seen:
            yield f"hosts[{index}].host", f"{host.host!r} stands there twice"
        seen.add(host.host)
        if host.deploy_to is not None and (what := _no_folder(host.deploy_to)):
            yield f"hosts[{index}].deploy_to", what
        for role in host.roles or ():
            near = () if role in settings.role_names else get_close_matches(role, settings.role_names, 1, 0.8)
            if near:  # others are labels, as Capistrano's hosts have them
                yield f"hosts[{index}].roles", f"no process has the role {role!r}; did you mean {near[0]!r}?"
    for role in settings.role_names:
        if not ROLE.fullmatch(role) or not any(role in settings.roles_of(host) for host in settings.hosts):
            yield "role" if role not in settings.roles else f"roles.{role}", f"no host has the role {role!r}"
        groups = settings.consumer_groups_of(role)
        if groups and len(groups) != settings.processes_of(role):
            yield (
                "consumer_groups",
                f"{len(groups)} entries for {settings.processes_of(role)} processes of role {role!r}; one each",
            )
    yield from _same_names(settings)


def _same_names(settings: Settings) -> Iterator[tuple[str, str]]:
    """Give what would make two processes share a name: that of their slot, or of their member (`Slot.instance_id`)."""
    for role in settings.worker_roles:
        if role in settings.role_names:
            yield f"roles.{role}", f"workers have the name {role!r} already; give the role another one"
    seen: dict[str, tuple[str, str]] = {}
    for index, host in enumerate(settings.hosts):
        own = set(settings.roles_of(host))
        for role in (role for role in settings.role_names if role in own):
            for name in (role, settings.worker_role(role)) if settings.workers_of(role) else (role,):
                other = seen.setdefault(f"{host.host}.{name}", (host.host, name))
                if other != (host.host, name):
                    both = f"{name!r} at {host.host!r} and {other[1]!r} at {other[0]!r}"
                    what = f"processes of {both} would be one member of their group; rename a role"
                    yield f"hosts[{index}].host", what


def _no_folder(path: str) -> str:
    """Say why a path cannot be that of an application's folder; empty where it can."""
    if not _is_absolute(path):
        home = "; whose home it is only each host knows, and units, rules and argv need the whole path"
        return f"expected an absolute path, got {path!r}{home if path.startswith('~') else ''}"
    if not posixpath.normpath(path).strip("/"):
        return f"expected a folder of the application's own, got {path!r}"
    if ".." in path.split("/"):  # which, behind a link, leads to where only the host knows
        return f"expected an absolute path without `..`, got {path!r}"
    return ""


def _is_absolute(path: str | None) -> bool:
    return path is None or (path.startswith("/") and path.isprintable())
