"""What `inv` knows of this project and this host: fabric.yaml, and the host's key that `fab karafka.setup` wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from ops.core.broker_address import is_local
from ops.core.errors import SettingsError, UsageError
from ops.shell import early
from ops.shell.door import runtime_file

if TYPE_CHECKING:
    from ops.core.protocol import ProcessSpec
    from ops.core.settings import Settings

DEVELOPMENT = "development"
_BROKERS = "KARAFKA_BROKERS"
HOST_FILE = "shared/karafka-ops-host.json"
DEFAULT_APP = "ops.reference.sources:app"


def settings_file(context: Context) -> Path | None:
    """Return the settings' file: the one that -f names, else the fabric.yaml beside tasks.py; None for none."""
    return runtime_file(context) or early.project_file(Path.cwd(), "tasks")


def section(context: Context) -> Mapping[str, Any] | None:
    """Read the `karafka:` section with what FABRIC_KARAFKA_* override; None where there is none.

    Raises
    ------
    SettingsError : the file is no YAML, a variable is none of the settings'.
    """
    from ops.core.section import from_environment, override

    path = settings_file(context)
    found = None if path is None else early.section_of(path)
    return None if found is None else override(found, from_environment(os.environ))


def app_name(context: Context) -> str:
    """Give `module:attribute` of the project's app: KARAFKA_APP, else the setting `app`.

    Where there are no settings at all, nothing is begun yet, and it is the bundled `sources`.

    Raises
    ------
    UsageError : the settings name none: the commands would tell of an app that is not the project's.
    """
    own = section(context)
    name = os.environ.get("KARAFKA_APP") or (DEFAULT_APP if own is None else own.get("app"))
    if not name:
        raise UsageError(
            "this project's settings name no app, and this command tells of one",
            where="karafka.app",
            hint="set it to module:attribute, or give --app; a consumer of another kind has none",
        )
    return str(name)


def know_brokers(context: Context, *, takes_part: bool = False) -> None:
    """Put the setting kafka.brokers where this process's own clients read it, unless KARAFKA_BROKERS is there.

    Parameters
    ----------
    takes_part : whether the command reads or writes messages, and does not only look.

    Raises
    ------
    UsageError : it would take part in the fleet's cluster from a machine that is none of its hosts.
    """
    own = section(context) or {}
    kafka = own.get("kafka")
    brokers = kafka.get("brokers") if isinstance(kafka, Mapping) else None
    if not brokers or os.environ.get("KARAFKA_BROKERS"):
        return
    if takes_part and _host_file(str(own.get("deploy_to", ""))) is None:
        refuse_the_fleets(map(str, brokers))
    os.environ["KARAFKA_BROKERS"] = ",".join(map(str, brokers))


def refuse_the_fleets(brokers: Iterable[str], where: str = "karafka.kafka.brokers", hint: str = "") -> None:
    """Refuse brokers that are not this machine's own.

    A consumer that is started on a laptop would join the groups of the fleet, and take partitions from it.

    Parameters
    ----------
    where : who names them.
    hint : what to do; empty for KARAFKA_BROKERS.

    Raises
    ------
    UsageError : one is another machine's.
    """
    away = [one for one in brokers if not is_local(one)]
    if away:
        raise UsageError(
            f"this machine is none that fab karafka.setup has set up, and would take part in the cluster at {away[0]}",
            where=where,
            hint=hint
            or f"name the cluster that is meant: KARAFKA_BROKERS=localhost:9092, or KARAFKA_BROKERS={away[0]}",
        )


@dataclass(frozen=True)
class Place:
    """Where the processes of this host live, and what they are.

    Attributes
    ----------
    host : the host's key in the inventory.
    settings : of the stage this host belongs to; `development` where no `fab karafka.setup` has been.
    specs : of the processes that are asked for.
    all_specs : of all that this host has.
    shared : the application's shared folder.
    stages : whose hosts run processes of this application: the host's own; every one where it belongs to none.
    """

    host: str
    settings: Settings
    specs: tuple[ProcessSpec, ...]
    all_specs: tuple[ProcessSpec, ...]
    shared: str
    stages: tuple[Settings, ...]


def place(context: Context, names: str | None = None, *, takes_part: bool = False) -> Place:
    """Find this host's processes.

    Parameters
    ----------
    names : comma-separated names (`karafka-0,karafka-1`); None for all.
    takes_part : whether processes are to be started.

    Raises
    ------
    SettingsError : there is no fabric.yaml, it is wrong, or it does not know this host.
    OpsError : the application is another user's, or several users can change it. Root becomes its owner.
    UsageError : a name is not of this host; or processes would join the fleet's groups from another machine.
    """
    from ops.core.section import load

    raw = section(context)
    if raw is None:
        path = settings_file(context)
        raise early.no_section(path, str(path or Path.cwd() / "fabric.yaml"))
    settings = load(raw)
    known = _host_file(settings.deploy_to)
    if known is None and takes_part and not os.environ.get("KARAFKA_BROKERS"):
        refuse_the_fleets(settings.kafka.brokers)
    found = _development(raw, settings) if known is None else _deployed(raw, known)
    if known is None and takes_part:
        _refuse_brokers_of_the_environment(found)
    if known is not None:
        from ops.core.privileges import work_as_owner

        folders = {folder for one in found.all_specs for folder in (one.directory, str(Path(one.files.pidfile).parent))}
        work_as_owner(str(Path(found.shared).parent), folders)
    return found if names is None else _chosen(found, names)


def _refuse_brokers_of_the_environment(found: Place) -> None:
    """Refuse brokers of another machine that processes would get from their environment, though the shell names none.

    Raises
    ------
    UsageError : one would.
    EnvFileError : the env file is in the way.
    """
    from ops.core import envfile

    for spec in found.specs:
        secrets = envfile.read(Path(spec.env_file)) if spec.env_file else {}
        in_file = _BROKERS in secrets
        brokers = secrets.get(_BROKERS) or spec.env.get(_BROKERS) or ""
        if brokers != os.environ.get(_BROKERS):
            where = f"{spec.env_file}: {_BROKERS}" if in_file else f"karafka.env.{_BROKERS}"
            hint = "it wins over the shell's: take it out of that file on this machine" if in_file else ""
            refuse_the_fleets((one.strip() for one in brokers.split(",") if one.strip()), where, hint)


def _host_file(deploy_to: str) -> Path | None:
    """Find what `fab karafka.setup` wrote: above the working directory (a release), else at deploy_to."""
    for root in (*(Path.cwd() / "x").parents, Path(deploy_to)):
        if (root / HOST_FILE).is_file():
            return root / HOST_FILE
    return None


def settings_here(context: Context) -> Settings | None:
    """Return the settings of the stage that this host belongs to, else of the default one; None where there are none.

    Raises
    ------
    SettingsError : they are wrong.
    """
    raw = section(context)
    return None if raw is None else _stage_here(raw)


def _stage_here(raw: Mapping[str, Any]) -> Settings:
    """Load the settings of the stage that this host belongs to; where it is not set up, of the default one."""
    from ops.core.section import load

    for root in (Path.cwd() / "x").parents:
        if (root / HOST_FILE).is_file():
            return _deployed(raw, root / HOST_FILE).settings
    return load(raw)


def _deployed(raw: Mapping[str, Any], file: Path) -> Place:
    """Give the place of a host that is set up."""
    from ops.core.section import load
    from ops.fleet.plan import process_specs, shared_folder

    try:
        known = json.loads(file.read_text())
        stage, key = str(known["stage"]), str(known["host"])
    except (ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"not what fab karafka.setup writes: {error!r}", where=str(file), hint="fab karafka.setup"
        ) from None
    settings = load(raw, stage)
    for host in settings.hosts:
        if host.host == key:
            specs = process_specs(settings, host)
            return Place(key, settings, specs, specs, shared_folder(settings, host), (settings,))
    raise SettingsError(
        f"this host is set up as {key!r}, which stage {stage!r} does not have",
        where=str(file),
        hint="fab karafka.setup",
    )


def _development(raw: Mapping[str, Any], settings: Settings) -> Place:
    """Give the place of a developer's checkout: everything below the working directory, the shell's environment.

    Without a host's key no instance id is stable, and two developers under one would fence each other.
    """
    from msgspec import structs

    from ops.core.keeping import PIDFILE
    from ops.core.section import load, stage_names
    from ops.core.settings import Host
    from ops.core.slot import Slot, SlotFiles
    from ops.fleet.plan import process_specs

    here = str(Path.cwd())
    local = structs.replace(settings, manager=PIDFILE, deploy_to=here, karafka_env=settings.karafka_env or DEVELOPMENT)
    specs = []
    for spec in process_specs(local, Host(host="localhost", roles=settings.role_names)):
        files = SlotFiles.below(here, settings.pid, Slot.parse(spec.name))
        env = {**os.environ, **spec.env}
        if os.environ.get("KARAFKA_BROKERS"):
            env["KARAFKA_BROKERS"] = os.environ["KARAFKA_BROKERS"]
        env.pop("KARAFKA_INSTANCE_ID", None)
        specs.append(replace(spec, directory=here, files=files, env=env, env_file=str(Path(here) / settings.env_file)))
    stages = tuple(load(raw, name) for name in stage_names(raw))  # the shell's brokers may be those of any
    return Place("localhost", structs.replace(local, stage=DEVELOPMENT), tuple(specs), tuple(specs), here, stages)


def _chosen(found: Place, names: str) -> Place:
    """Cut a place down to the named processes."""
    wanted = [name for name in names.split(",") if name]
    have = [spec.name for spec in found.specs]
    for name in wanted:
        if name not in have:
            raise UsageError(f"no process is named {name!r}; there are: {', '.join(have)}", where="--processes")
    return replace(found, specs=tuple(spec for spec in found.specs if spec.name in wanted))


def group_processes(context: Context, groups: Iterable[str]) -> dict[str, int]:
    """Count the processes of the whole stage that run each consumer group; none without a fabric.yaml."""
    settings = settings_here(context)
    if settings is None:
        return {}
    counts = dict.fromkeys(groups, 0)
    for host in settings.hosts:
        for role in settings.roles_of(host):
            if role not in settings.role_names:
                continue
            entries = settings.consumer_groups_of(role) or ("",) * settings.processes_of(role)
            for entry in entries:
                for group in counts:
                    counts[group] += not entry or group in entry.split(",")
    return counts
