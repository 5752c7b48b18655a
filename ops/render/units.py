"""The files that systemd needs to keep an application's processes on a host.

One template unit with one instance a process, one target for all of them, one env file a process, and with `sudo` the
few commands that the deploying user may give. Whoever installs them decides how: nothing here is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from ops.core import systemd
from ops.core.errors import SettingsError
from ops.core.handover import DRAIN_VARIABLE, LOCK_VARIABLE, PIDFILE_VARIABLE
from ops.core.keeping import SYSTEMD, Keeping
from ops.core.protocol import ProcessSpec
from ops.core.settings import Host, Settings
from ops.render.templates import FileRecord, render

SYSTEM_FOLDER = PurePosixPath("/etc/systemd/system")
_SUDOERS = PurePosixPath("/etc/sudoers.d")
_STATUS_VARIABLE = "KARAFKA_STATUS_FILE"
_HOMES = tuple(map(PurePosixPath, ("/home", "/root", "/run/user")))  # what ProtectHome= hides: systemd.exec(5)
_START_SECONDS, _STOP_SECONDS = 10.0, 2.0  # beyond the process's own: a host that boots is slow, and a drain is not cut
_KEPT = re.compile(r"\.|(units|releases|rollouts|karafka-ops[^/]*)(/.*)?")  # below shared/: none of the processes' own
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")  # what systemd takes in no value


def systemd_files(
    settings: Settings, host: Host, specs: Sequence[ProcessSpec], *, user: str, home: str, python: str = ""
) -> tuple[FileRecord, ...]:
    """Give the files of one host, as absolute paths there.

    Overrides of people live beside the unit, in `karafka-APP@.service.d/*.conf`; no file here is one of them.

    Parameters
    ----------
    specs : all processes of the host.
    user : who deploys; system units run as this user too, unless the settings name another one.
    home : of this user; where user units go.
    python : the tool's interpreter there; empty for where the settings have it.

    Raises
    ------
    SettingsError : a value cannot be written into an env file.
    """
    kept = Keeping(SYSTEMD, settings.application, settings.systemd.scope, sudo=settings.systemd.sudo)
    system = kept.scope == "system"
    folder = SYSTEM_FOLDER if system else PurePosixPath(home) / ".config/systemd/user"
    root = PurePosixPath(host.deploy_to or settings.deploy_to)
    values: dict[str, Any] = {
        "application": settings.application,
        "deploy_to": str(root),
        "target": kept.target,
        "user": user,
    }
    about: dict[str, Any] = {
        **values,
        **_unit(settings, kept, root, python or str(root / settings.agent_python)),
        "template": kept.template,
        "system": system,
        "user_option": "" if system else "--user ",
        "run_as": settings.systemd.user or user,
    }
    unit = render("systemd", {"karafka@.service.j2": str(folder / kept.template)}, **about)
    wanted_by = "multi-user.target" if system else "default.target"
    target = render("systemd", {"karafka.target.j2": str(folder / kept.target)}, **values, wanted_by=wanted_by)
    return (*unit, *target, *_env_files(settings, kept, root / "shared", specs), *_sudoers(kept, specs, values))


def _unit(settings: Settings, kept: Keeping, root: PurePosixPath, python: str) -> dict[str, Any]:
    shared = root / "shared"
    notify = settings.readiness == "notify"
    watchdog = settings.systemd.watchdog_seconds if settings.app is not None else 0.0  # others feed none
    return {
        "shared": str(shared),
        "own_env_file": systemd.env_file(kept, _plain(str(shared)), "%i"),
        "secrets": quoted(str(shared / settings.env_file)).replace("$", "$$"),
        "writable": " ".join(f"-{one}" for one in map(quoted, writable_folders(settings, shared))),
        "below_home": any(root.is_relative_to(one) for one in _HOMES),
        "notify": notify,
        "watchdog_seconds": _seconds(watchdog) if watchdog else "",
        "shim": " ".join(map(quoted, (python, "-I", "-m", "ops.node.shim"))),
        "command_variable": systemd.COMMAND_VARIABLE,
        "lock_variable": LOCK_VARIABLE,
        "pidfile_variable": PIDFILE_VARIABLE,
        "held_signal": systemd.HELD_SIGNAL,
        "reload_signal": systemd.RELOAD_SIGNAL if settings.app is not None else "",
        "start_seconds": _seconds(settings.start_timeout_seconds + _START_SECONDS),
        "stop_seconds": _seconds(settings.stop_timeout_seconds + _STOP_SECONDS),
        "quoted": quoted,
        "plain": _plain,
    }


def writable_folders(settings: Settings, shared: PurePosixPath) -> list[str]:
    """Return the folders that a process writes to: nothing that it is started from or by.

    Raises
    ------
    SettingsError : a setting has one of those among them.
    """
    folders = [("karafka.pid", str(PurePosixPath(settings.pid).parent))]
    folders += [("karafka.linked_dirs", str(PurePosixPath(one))) for one in settings.linked_dirs]
    for key, below in folders:
        if _KEPT.fullmatch(below):
            what = f"{shared / below} would be writable for the processes, and has what they are started from or by"
            raise SettingsError(what, where=key, hint="a folder of its own: tmp/pids/karafka.pid")
    return [str(shared / below) for below in dict.fromkeys(("tmp/slots", "log", *(one for _, one in folders)))]


def _env_files(
    settings: Settings, kept: Keeping, shared: PurePosixPath, specs: Sequence[ProcessSpec]
) -> tuple[FileRecord, ...]:
    found: list[FileRecord] = []
    for spec in specs:
        own = {
            _STATUS_VARIABLE: spec.files.status,
            DRAIN_VARIABLE: f"{spec.stop_timeout_seconds:g}",
            LOCK_VARIABLE: spec.files.lock,
            PIDFILE_VARIABLE: spec.files.pidfile,
            systemd.COMMAND_VARIABLE: command_value(spec.command),
        }
        variables = {name: env_value(name, value) for name, value in (spec.env | own).items()}
        path = systemd.env_file(kept, str(shared), spec.name)
        found += render(
            "systemd",
            {"process.env.j2": path},
            mode=0o600,
            application=settings.application,
            process=spec.name,
            variables=variables,
        )
    return tuple(found)


def _sudoers(kept: Keeping, specs: Sequence[ProcessSpec], values: dict[str, Any]) -> tuple[FileRecord, ...]:
    if not kept.sudo:
        return ()
    commands = [
        " ".join((systemd.BINARIES[argv[0]], *(re.sub(r"([\\,:=])", r"\\\1", word) for word in argv[1:])))
        for argv in systemd.privileged(kept, [spec.name for spec in specs])
    ]
    return render("systemd", {"sudoers.j2": str(_SUDOERS / kept.rule)}, mode=0o440, **values, commands=commands)


def quoted(text: str) -> str:
    """Write one word of a unit file's list or command line: systemd.syntax(7), "Quoting"; no specifier in it."""
    escaped = _plain(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return escaped if re.fullmatch(r"[\w./:@%+=,-]+", escaped, re.ASCII) else f'"{escaped}"'


def command_value(command: Sequence[str]) -> str:
    """Write a command as the value of a variable that `$NAME` in a unit's command line is replaced by.

    systemd splits it into words at white space and takes one level of quotes and backslashes off: systemd.service(5),
    "Command lines". Nothing else of it is looked at: no variable, no specifier.
    """
    return " ".join(re.sub(r"([^A-Za-z0-9_./:@%+=,-])", r"\\\1", word) or '""' for word in command)


def _plain(text: str) -> str:
    """Write a path that is all of a line: only specifiers have to be kept from being replaced."""
    return text.replace("%", "%%")


def env_value(name: str, value: str) -> str:
    r"""Write a value of an env file as systemd reads it: systemd.exec(5), "EnvironmentFile=".

    Raises
    ------
    SettingsError : a control character is in it, which systemd does not take.
    """
    if _CONTROL.search(value):
        raise SettingsError(f"the value of {name} has a control character in it, which no unit can have", where="env")
    return '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"'


def _seconds(value: float) -> str:
    return f"{value:g}" if value < 100_000 else f"{value:.0f}"
