"""What was meant by a key that the settings do not have: the nearest one, or what Capistrano's settings are here."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence

import msgspec

from ops.core.settings import Hook, Host, Kafka, Role, Rollout, Settings, Supervisor, Systemd, ToolIndex

_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "kafka": Kafka,
    "rollout": Rollout,
    "systemd": Systemd,
    "supervisor": Supervisor,
    "hosts": Host,
    "roles": Role,
    "hooks": Hook,
    "tool": ToolIndex,
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
    names = [name for name in above if isinstance(name, str)]
    own = _SECTIONS.get(names[0]) if names else Settings
    if not isinstance(key, str) or own is None:
        return ""
    if not names and key in CAPISTRANO:
        return f"here it is {CAPISTRANO[key]}" if CAPISTRANO[key].startswith("`") else CAPISTRANO[key]
    known = list(own.__struct_fields__) + (["stages"] if own is Settings else [])
    elsewhere = next(_places(key), "")
    if elsewhere:
        return f"did you mean {elsewhere}?"
    near = difflib.get_close_matches(key.lower().replace("-", "_"), known, n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else ""


def _places(key: str) -> Iterator[str]:
    """Yield where else a key of this name belongs."""
    if key in Settings.__struct_fields__:
        yield f"karafka.{key}"
    for section, kind in _SECTIONS.items():
        if key in kind.__struct_fields__:
            yield f"{key} within {section}" if section in _MANY else f"{section}.{key}"
