"""What was meant by a key that the settings do not have: the nearest one, or what Capistrano's settings are here."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from ops.core.settings import Become, Hook, Host, Kafka, Role, Rollout, Settings, Supervisor, Systemd, ToolIndex

_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "kafka": Kafka,
    "rollout": Rollout,
    "systemd": Systemd,
    "supervisor": Supervisor,
    "hosts": Host,
    "roles": Role,
    "hooks": Hook,
    "tool": ToolIndex,
    "become": Become,
}
_MANY = ("hosts", "roles", "hooks")
_LINKS = "every release is below releases/, and current, shared/ and repo/ have these names"
_SHELL = "nothing to set: no terminal and no log-in shell takes part"
_MIGRATIONS = "a hook: .karafka/hooks/after-updated.NAME, with `hooks: {after-updated.NAME: {on: hosts}}`"
_GIT = "nothing to set: repo/ is a whole mirror, updated for each deploy"
CAPISTRANO = {
    **dict.fromkeys(("scm", "deploy_via", "repository"), "`repo_url`, a git repository, or fab deploy --artifact FILE"),
    **dict.fromkeys(
        ("copy_exclude", "copy_strategy"), "`export-ignore` in .gitattributes: git archive makes a release"
    ),
    **dict.fromkeys(("git_shallow_clone", "git_wrapper_path", "git_max_concurrent_connections"), _GIT),
    **dict.fromkeys(
        ("git_environmental_variables", "git_http_username", "git_http_password"), "user and password in `repo_url`"
    ),
    **dict.fromkeys(("svn_username", "svn_password", "svn_revision"), "git alone; else fab deploy --artifact FILE"),
    **dict.fromkeys(("repo_path", "current_directory", "releases_directory", "shared_directory"), _LINKS),
    **dict.fromkeys(("release_path", "current_path", "shared_path", "releases_path"), _LINKS),
    **dict.fromkeys(("pty", "sshkit_backend", "default_shell", "run_method"), _SHELL),
    **dict.fromkeys(
        ("format", "format_options", "log_level", "backtrace"), "--json; lines elsewhere are always the same"
    ),
    "tmp_dir": "nothing to set: nothing is run from a temporary folder, and nothing is left in one",
    "local_user": "nothing to set: who deploys is the pipeline's user, else this one",
    "default_env": "`env`",
    "default_stage": "`stage`",
    "ssh_options": "`user` and `port` at a host, `known_hosts`; Fabric's `connect_kwargs`, `user` and ssh_config",
    "user": "`user` at a host, or Fabric's own beside `karafka:`",
    "port": "`port` at a host, or Fabric's own beside `karafka:`",
    "password": "keys or an agent; for once: fab --prompt-for-login-password",
    **dict.fromkeys(
        ("use_sudo", "sudo", "runner"), "`systemd.sudo`, for systemctl alone; files belong to whom deploy_to belongs"
    ),
    **dict.fromkeys(("migration_role", "migration_servers", "migration_command", "conditionally_migrate"), _MIGRATIONS),
    **dict.fromkeys(
        ("assets_roles", "rails_env", "upload_roles"), "`env`, and a hook for what has to run on the hosts"
    ),
    **dict.fromkeys(
        ("bundle_flags", "bundle_path", "bundle_without", "bundle_gemfile", "bundle_roles"), "`build`: a command"
    ),
    **dict.fromkeys(
        ("filter", "log_roles", "revision_log_message"), "--hosts, --roles; revisions.log has Capistrano's words"
    ),
    **{f"karafka_{name}": f"`{name}`" for name in ("role", "processes", "consumer_groups", "pid", "default_hooks")},
}
"""Settings of Capistrano 3, of its predecessor and its usual plugins, and what they are here."""


def meant(keys: Sequence[str | int]) -> str:
    """Say what may have been meant by an unknown key; empty where nobody can tell.

    Parameters
    ----------
    keys : its path below `karafka:` or a stage.
    """
    *above, key = keys
    structs = (one for one in _types(above) if isinstance(one, type) and issubclass(one, msgspec.Struct))
    own: Any = next(structs, None)
    if not isinstance(key, str) or own is None:
        return ""
    if not above and key in CAPISTRANO:
        return f"here it is {CAPISTRANO[key]}" if CAPISTRANO[key].startswith("`") else CAPISTRANO[key]
    elsewhere = next(_places(key), "")
    if elsewhere:
        return f"did you mean {elsewhere}?"
    known = [*own.__struct_fields__, *(["stages"] if own is Settings else [])]
    near = nearest(key, known)
    if near:
        return f"did you mean {near}?"
    kinds: tuple[Any, ...] = (Settings, *_SECTIONS.values())
    all_keys = [name for kind in kinds for name in kind.__struct_fields__]
    place = next(_places(nearest(key, all_keys)), "")
    if place:
        return f"did you mean {place}?"
    return f"there are: {', '.join(known)}" if own is not Settings else ""


def nearest(word: str, known: Sequence[str]) -> str:
    """Return the one of several words that is most like another; empty where none is like it."""
    lowered = word.lower().replace("-", "_")
    swapped = [one for one in known if sorted(one) == sorted(lowered)]
    near = difflib.get_close_matches(lowered, known, n=1, cutoff=0.7)
    longer = [one for one in known if len(lowered) > 3 and lowered in one]
    return next(iter((*swapped, *near, *longer)), "")


def choices(keys: Sequence[str | int]) -> tuple[str, ...]:
    """Return the words that a setting may have, as its type says; none where it may be any.

    Parameters
    ----------
    keys : its path below `karafka:` or a stage.
    """
    return tuple(str(word) for one in _types(keys) if get_origin(one) is Literal for word in get_args(one))


def _types(keys: Sequence[str | int]) -> list[Any]:
    """Return the types that a place of the settings may have."""
    kinds: list[Any] = [Settings]
    for key in keys:
        kinds = [inside for kind in kinds for inside in _inside(kind, key)]
    return kinds


def _inside(kind: Any, key: str | int) -> list[Any]:
    """Return what a type has at one of its keys or places."""
    if get_origin(kind) is dict:
        return _parts(get_args(kind)[1])
    if get_origin(kind) is tuple and isinstance(key, int):
        return _parts(get_args(kind)[0])
    fields = get_type_hints(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else {}
    return _parts(fields[key]) if key in fields else []


def _parts(kind: Any) -> list[Any]:
    """Return the types of a union, of any other type itself."""
    return [*get_args(kind)] if get_origin(kind) in (Union, UnionType) else [kind]


def _places(key: str) -> Iterator[str]:
    """Yield where else a key of this name belongs."""
    if key in Settings.__struct_fields__:
        yield "stages.NAME.hosts" if key == "hosts" else f"karafka.{key}"
    for section, kind in _SECTIONS.items():
        if key in kind.__struct_fields__:
            yield f"{key} within {section}" if section in _MANY else f"{section}.{key}"
