"""What a `fab` task knows: the settings of its stage, the hosts and processes it is for, the way there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from ops.core.errors import SettingsError, UsageError
from ops.fleet.tasks.stages import CHOSEN, refuse_idle
from ops.shell import early
from ops.shell.door import runtime_file

if TYPE_CHECKING:
    from ops.core.settings import Settings
    from ops.fleet.inventory import Place
    from ops.fleet.transport.ssh import SSHTransport
    from ops.fleet.transport.staying import StayingAgents


def load_settings(context: Context) -> Settings:
    """Give the settings of the stage that the command line names, else of the default one.

    Raises
    ------
    SettingsError : there are none, or they are wrong.
    UsageError : the command line ends in a stage.
    """
    import os

    from ops.core import section

    raw = section.override(_section(context), section.from_environment(os.environ))
    refuse_idle(section.stage_names(raw))
    return section.load(raw, context.config.get(CHOSEN))


def load_stage_names(context: Context) -> tuple[str, ...]:
    """Give the names of all stages, in the order of the settings."""
    from ops.core.section import stage_names

    return stage_names(_section(context))


def load_places(
    context: Context, settings: Settings, hosts: str | None, roles: str | None, processes: str | None
) -> tuple[Place, ...]:
    """Give the hosts and slots that the options name; `-H` with one host is the same as `--hosts`.

    Raises
    ------
    UsageError : -H names several hosts, or an option names what is not there.
    """
    from ops.fleet.inventory import Selection, select

    named = _core_hosts(context)
    if len(named) > 1:
        raise UsageError(
            "Fabric calls a task once for each host of -H, one after the other",
            where="-H",
            hint=f"fab karafka.<task> --hosts {','.join(named)}",
        )
    if named and hosts is not None:
        raise UsageError("given beside --hosts", where="-H", hint="leave one of them out")
    return select(settings, Selection.parse(named[0] if named else hosts, roles, processes))


def make_transport(context: Context, settings: Settings) -> SSHTransport:
    """Make the way to the hosts: Fabric's configuration, our host keys and deadlines; a connection a command."""
    return _transport(context, settings, keep=False)


def make_staying_transport(context: Context, settings: Settings) -> StayingAgents:
    """Make the same way for many commands on each host: connections and agents stay for the next one."""
    from ops.fleet.transport.staying import StayingAgents

    return StayingAgents(_transport(context, settings, keep=True))


def _transport(context: Context, settings: Settings, *, keep: bool) -> SSHTransport:
    from fabric import Config

    from ops.fleet.transport.ssh import SSHTransport

    config = context.config
    if not isinstance(config, Config):
        config = config.clone(into=Config)

    def say(text: str) -> None:
        print(text, file=sys.stderr)

    return SSHTransport(config, settings.known_hosts, settings.connect_timeout_seconds, keep=keep, say=say)


def _section(context: Context) -> dict[str, Any]:
    """Give the `karafka:` section: Fabric's merged one, but with -f that file's in place of the project's."""
    from ops.core.section import override

    config = context.config
    runtime = getattr(config, "_runtime", {})
    if isinstance(runtime, Mapping) and "karafka" in runtime:
        own = getattr(config, "_collection", {})
        below = own.get("karafka", {}) if isinstance(own, Mapping) else {}
        return override(_mapping(below), _mapping(runtime["karafka"]))
    found = config.get("karafka")
    if found is None:
        file = runtime_file(context)
        path = file or early.project_file(Path.cwd(), "fabfile")
        raise early.no_section(path, str(file or "fabric.yaml beside the fabfile"))
    return _mapping(found)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) and not hasattr(value, "items"):
        raise SettingsError(f"expected a mapping, got {value!r}", where="karafka")
    return {str(key): item for key, item in value.items()}


def _core_hosts(context: Context) -> tuple[str, ...]:
    """Give what Fabric's own -H names; it is gone from the context, which stands for one host."""
    program = getattr(sys.modules.get("fabric.main"), "program", None)
    core = getattr(program, "core", None)
    text = core[0].args.hosts.value if core else getattr(context, "original_host", None)
    return tuple(name.strip() for name in str(text).split(",") if name.strip()) if text else ()
