"""The `karafka:` section of fabric.yaml: merged, converted and checked whole before anything is done.

A stage may carry any key of the section beside its hosts; it wins over the section's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_type_hints

import msgspec

from ops.core import section_checks
from ops.core.errors import SettingsError
from ops.core.masking import SECRETS
from ops.core.section_errors import FILE_HINT, ROOT, explained
from ops.core.section_words import in_words
from ops.core.settings import BatchSize, Count, Rollout, Seconds, Settings, Workers

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
            what = in_words(str(error).replace(", got `str`", ""), _SCALARS[name])
            raise SettingsError(f"{what}, got {text!r}", where=variable) from None
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
        near = difflib.get_close_matches(str(wanted), checked, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else ""
        raise SettingsError(f"no stage is named {wanted!r}; there are: {names}", where=f"{ROOT}.stage", hint=hint)
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
    _spell_folders(merged)
    try:
        settings = msgspec.convert(merged, Settings)
    except msgspec.ValidationError as error:
        raise explained(error, merged, path, own) from None
    _check(settings, path, own)
    return settings


def _spell_folders(merged: dict[str, Any]) -> None:
    """Let applications' folders have one spelling each: names that are made of it are then the same everywhere."""
    hosts = merged.get("hosts")
    for one in (merged, *(hosts if isinstance(hosts, list) else ())):
        folder = one.get("deploy_to") if isinstance(one, dict) else None
        if isinstance(folder, str) and folder.startswith("/"):
            one["deploy_to"] = "/" + "/".join(part for part in folder.split("/") if part not in ("", "."))


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
    for key, what in section_checks.troubles(settings):
        home = path if key.split(".")[0].split("[")[0] in (*own, "hosts") else ROOT
        raise SettingsError(what, where=f"{home}.{key}", hint=FILE_HINT)
