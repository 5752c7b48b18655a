"""The `karafka:` section of fabric.yaml: merged, converted and checked whole before anything is done.

A stage may carry any key of the section beside its hosts; it wins over the section's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_type_hints

import msgspec

from ops.core import linked, tool
from ops.core.broker_address import trouble
from ops.core.errors import SettingsError
from ops.core.masking import SECRETS
from ops.core.release import HOOK_FILE
from ops.core.section_errors import FILE_HINT, ROOT, explained
from ops.core.section_texts import troubles
from ops.core.settings import BatchSize, Count, Rollout, Seconds, Settings, Workers
from ops.core.slot import ROLE

_VARIABLE = "FABRIC_KARAFKA_"
_SCALARS: dict[str, Any] = {  # settings of a single value: as the environment names them, type
    **dict.fromkeys(
        (
            *("application", "deploy_to", "command", "app", "karafka_env", "env_file", "pid", "role"),
            *(
                "worker_command",
                "agent_python",
                "python",
                "known_hosts",
                "stage",
                "repo_url",
                "repo_tree",
                "branch",
                "tool",
            ),
        ),
        str,
    ),
    **dict.fromkeys(("processes", "pool", "keep_releases"), Count),
    "workers": Workers,
    "strip_components": Annotated[int, msgspec.Meta(ge=0, le=10)],
    **dict.fromkeys(("start_timeout_seconds", "stop_timeout_seconds", "connect_timeout_seconds"), Seconds),
    **dict.fromkeys(("build_timeout_seconds", "hook_timeout_seconds"), Seconds),
    **dict.fromkeys(("auto_rollback", "default_hooks"), bool),
    "manager": Literal["pidfile", "systemd", "supervisor"],
    "readiness": Literal["notify", "alive"],
}
_ROLLOUT = get_type_hints(Rollout, include_extras=True) | {"batch": BatchSize}  # a list belongs into the file
_NESTED = {
    **{f"rollout_{name}": ("rollout", name) for name in _ROLLOUT},
    "kafka_observe_from": ("kafka", "observe_from"),
    "become_user": ("become", "user"),
}
_SCALARS |= {f"rollout_{name}": kind for name, kind in _ROLLOUT.items()}
_SCALARS |= {"kafka_observe_from": Literal["host", "operator"], "become_user": str}
_FABRICS_OWN = ("env_", "roles_", "stages_", "hooks_")  # below these, Fabric itself puts values in place


def from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Read the settings that FABRIC_KARAFKA_* give: single values alone, lists and mappings belong into the file.

    Raises
    ------
    SettingsError : a variable names no setting, or its value is none of that setting's; it names the variable.
    """
    found: dict[str, Any] = {}
    for variable, text in environ.items():
        name = variable.removeprefix(_VARIABLE).lower()
        if name == variable.lower() or (name.startswith(_FABRICS_OWN) and name not in _SCALARS):
            continue
        SECRETS.learn(text, name)
        if name not in _SCALARS:
            what = f"there is no such setting to be given by the environment; there are: {', '.join(sorted(_SCALARS))}"
            near = difflib.get_close_matches(name, _SCALARS, n=1, cutoff=0.7)
            hint = f"did you mean {_VARIABLE}{near[0].upper()}?" if near else ""
            raise SettingsError(what, where=variable, hint=hint)
        keys = _NESTED.get(name, (name,))
        try:
            value = msgspec.convert(text, _SCALARS[name], strict=False)
        except msgspec.ValidationError as error:
            what = str(error).replace(", got `str`", "").replace("`", "")
            raise SettingsError(f"{what[:1].lower()}{what[1:]}: {text!r}", where=variable) from None
        inside = found
        for key in keys[:-1]:
            inside = inside.setdefault(key, {})
        inside[keys[-1]] = value
    return found


def override(section: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Lay values over a section, and over those of its stages that have the same keys of their own."""
    result = _merge(section, values)
    stages = result.get("stages")
    if isinstance(stages, Mapping):
        result["stages"] = {
            name: _merge(own, {key: value for key, value in values.items() if key in own})
            if isinstance(own, Mapping)
            else own
            for name, own in stages.items()
        }
    return result


def stage_names(section: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the names of the section's stages."""
    stages = section.get("stages")
    return tuple(str(name) for name in stages) if isinstance(stages, Mapping) else ()


def load(section: Any, stage: str | None = None) -> Settings:
    """Check the whole section, every stage of it, and give one stage's settings.

    Parameters
    ----------
    section : the mapping below `karafka:`.
    stage : its name; None for the section's `stage`, or the only one there is.

    Raises
    ------
    SettingsError : anything is missing, unknown or of the wrong type; it names the key path.
    """
    SECRETS.learn(_plain(section))
    if not isinstance(section, Mapping):
        raise SettingsError(f"expected a mapping, got {section!r}", where=ROOT, hint=FILE_HINT)
    stages = section.get("stages")
    if not isinstance(stages, Mapping) or not stages:
        raise SettingsError("expected a mapping of stages with their hosts", where=f"{ROOT}.stages", hint=FILE_HINT)
    checked = {str(name): _stage(section, str(name), own) for name, own in stages.items()}
    wanted = stage or section.get("stage") or (next(iter(checked)) if len(checked) == 1 else None)
    names = ", ".join(checked)
    if wanted is None:
        raise SettingsError(
            f"none named, and there are several: {names}", where=f"{ROOT}.stage", hint=f"fab {next(iter(checked))} ..."
        )
    if wanted not in checked:
        raise SettingsError(f"no stage is named {wanted!r}; there are: {names}", where=f"{ROOT}.stage")
    SECRETS.spare(_names(checked[wanted]))
    return checked[wanted]


def _names(settings: Settings) -> Iterator[str]:
    """Yield the names that all output is made of."""
    yield from (settings.application, settings.stage, settings.manager, *settings.role_names, *settings.worker_roles)
    for host in settings.hosts:
        yield from filter(None, (host.host, host.address, host.user))


def as_data(settings: Settings) -> dict[str, Any]:
    """Give settings as plain data, defaults filled in."""
    data: dict[str, Any] = msgspec.to_builtins(settings)
    return data


def _stage(section: Mapping[str, Any], name: str, own: Any) -> Settings:
    """Merge one stage over the section, convert and check it."""
    path = f"{ROOT}.stages.{name}"
    if not isinstance(own, Mapping):
        raise SettingsError(f"expected a mapping with hosts, got {own!r}", where=path, hint=FILE_HINT)
    if "hosts" in section:
        raise SettingsError("hosts belong to a stage", where=f"{ROOT}.hosts", hint=f"move them to {path}.hosts")
    for forbidden in ("stage", "stages"):
        if forbidden in own:
            raise SettingsError("unknown key", where=f"{path}.{forbidden}")
    if "tool" in own:
        raise SettingsError("one for all stages", where=f"{path}.tool", hint=f"move it to {ROOT}.tool")
    common = {key: value for key, value in section.items() if key not in ("stages", "stage")}
    merged = _plain({**_merge(common, own), "stage": name})
    try:
        settings = msgspec.convert(merged, Settings)
    except msgspec.ValidationError as error:
        raise explained(error, merged, path, own) from None
    _check(settings, path, own)
    return settings


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one mapping over another, mappings inside them too."""
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        result[key] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return result


def _plain(value: Any) -> Any:
    """Turn mapping and sequence proxies (Invoke's DataProxy) into plain ones."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


def _check(settings: Settings, path: str, own: Mapping[str, Any]) -> None:
    """Check what types alone cannot say."""

    def wrong(key: str, what: str) -> SettingsError:
        home = path if key.split(".")[0].split("[")[0] in (*own, "hosts") else ROOT
        return SettingsError(what, where=f"{home}.{key}", hint=FILE_HINT)

    for key, what in troubles(as_data(settings)):
        raise wrong(key, what)
    if not _is_absolute(settings.deploy_to):
        raise wrong("deploy_to", _no_absolute(settings.deploy_to))
    for key, value in (("pid", settings.pid), ("env_file", settings.env_file)):
        if value.startswith("/") or ".." in value.split("/") or not value:
            raise wrong(key, f"expected a path below shared/, got {value!r}")
    try:
        argv = settings.argv
    except ValueError as error:
        raise wrong("command", f"{error}: {settings.command!r}") from None
    if not argv or not argv[0]:
        raise wrong("command", "expected a command, got nothing")
    try:
        links = linked.links(settings.linked_dirs, settings.linked_files)
    except linked.LinkedError as error:
        raise wrong(error.key, error.what) from None
    for one in links:
        if settings.build is True and one.path.split("/")[0] == ".venv":
            raise wrong(
                one.key, f"{one.path!r}: the default build makes one in each release, over what is there; set build"
            )
    tree = settings.repo_tree
    if tree is not None and ({"", ".", ".."} & set(tree.rstrip("/").split("/")) or not tree.isprintable()):
        raise wrong("repo_tree", f"expected a folder of the repository, got {tree!r}")
    try:
        build = settings.build_argv
    except ValueError as error:
        raise wrong("build", f"{error}: {settings.build!r}") from None
    if not isinstance(settings.build, bool) and not build:
        raise wrong("build", "expected a command, true or false, got nothing")
    for name in settings.hooks:
        if not HOOK_FILE.fullmatch(name):
            raise wrong(f"hooks.{name}", "no name of a hook: before-<stage> or after-<stage>, with any ending")
    if settings.worker_roles:
        try:
            worker = settings.worker_argv
        except ValueError as error:
            raise wrong("worker_command", f"{error}: {settings.worker_command!r}") from None
        if not worker or not worker[0]:
            raise wrong("worker_command", f"expected the command of a worker; {settings.command!r} does not tell it")
    for broker in settings.kafka.brokers:
        if unfit := trouble(broker):
            raise wrong("kafka.brokers", unfit)
    supervisor = settings.supervisor
    folders = {"supervisor.socket": supervisor.socket}
    for key in ("conf", "conf_d", "credentials"):
        if (named := getattr(supervisor, key)) is not None:
            folders[f"supervisor.{key}"] = named
    for key, value in (folders | {"logrotate_d": settings.logrotate_d}).items():
        if not value.startswith("/"):
            raise wrong(key, f"expected an absolute path, got {value!r}")
    for key, what in tool.troubles(settings.tool):
        raise wrong(key, what)
    if not _is_absolute(settings.python):
        raise wrong("python", f"expected the absolute path of an interpreter, got {settings.python!r}")
    seen: set[str] = set()
    for index, host in enumerate(settings.hosts):
        if not _is_absolute(host.python):
            raise wrong(f"hosts[{index}].python", f"expected the absolute path of an interpreter, got {host.python!r}")
        if host.host in seen:
            raise wrong(f"hosts[{index}].host", f"{host.host!r} stands there twice")
        seen.add(host.host)
        if host.deploy_to is not None and not _is_absolute(host.deploy_to):
            raise wrong(f"hosts[{index}].deploy_to", _no_absolute(host.deploy_to))
    for role in settings.role_names:
        if not ROLE.fullmatch(role) or not any(role in settings.roles_of(host) for host in settings.hosts):
            raise wrong("role" if role not in settings.roles else f"roles.{role}", f"no host has the role {role!r}")
        groups = settings.consumer_groups_of(role)
        if groups and len(groups) != settings.processes_of(role):
            raise wrong(
                "consumer_groups",
                f"{len(groups)} entries for {settings.processes_of(role)} processes of role {role!r}; one each",
            )
    for key, what in _same_names(settings):
        raise wrong(key, what)


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


def _no_absolute(path: str) -> str:
    home = "; whose home it is only each host knows, and units, rules and argv need the whole path"
    return f"expected an absolute path, got {path!r}{home if path.startswith('~') else ''}"


def _is_absolute(path: str | None) -> bool:
    return path is None or (path.startswith("/") and path.isprintable())
