"""The files that supervisor needs to keep an application's processes on a host.

One conf file with a program for each process, and one env file a process. Whoever installs them decides how: nothing
here is written.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from ops.core import supervisor
from ops.core.errors import SettingsError
from ops.core.keeping import SUPERVISOR, Keeping
from ops.core.protocol import ProcessSpec
from ops.core.settings import Host, Settings
from ops.render.templates import FileRecord, render

_CONF_D = "/etc/supervisor/conf.d"
_START_RETRIES = 10  # with pauses of 1, 2, 3 s ...: a minute beside what the starts themselves take
_MARGIN_SECONDS = 1.0  # what the wrapper itself takes to begin and to end
_COMMENT = re.compile(r"(\s)([;#])")  # what supervisor cuts a line off at


def supervisor_files(
    settings: Settings,
    host: Host,
    specs: Sequence[ProcessSpec],
    *,
    user: str,
    enabled: bool = False,
    conf: str = "",
    python: str = "",
) -> tuple[FileRecord, ...]:
    """Give the files of one host, as absolute paths there.

    Parameters
    ----------
    specs : all processes of the host.
    user : whom they run as.
    enabled : start them with supervisord, so at boot.
    conf : path of the conf file; empty for where Debian's supervisord includes it.
    python : the tool's interpreter there; empty for where the settings have it.

    Raises
    ------
    SettingsError : a value cannot be written into such a file.
    """
    kept = Keeping(SUPERVISOR, settings.application)
    root = PurePosixPath(host.deploy_to or settings.deploy_to)
    path = conf or str(PurePosixPath(settings.supervisor.conf_d or _CONF_D) / f"{kept.group}.conf")
    python = python or str(root / settings.agent_python)
    programs = render(
        "supervisor",
        {"karafka.conf.j2": path},
        application=settings.application,
        deploy_to=str(root),
        programs=[_program(settings, kept, root, python, spec) for spec in specs],
        user=_value("user", user),
        enabled=enabled,
        start_retries=_START_RETRIES,
    )
    shared = str(root / "shared")
    envs = (
        FileRecord(supervisor.env_file(shared, spec.name), _env_text(settings.application, spec), 0o600)
        for spec in specs
    )
    return (*programs, *envs)


def _program(
    settings: Settings, kept: Keeping, root: PurePosixPath, python: str, spec: ProcessSpec
) -> dict[str, object]:
    files = spec.files
    notify = spec.readiness == "notify"
    options = {
        "--process": spec.name,
        "--directory": spec.directory,
        "--lock": files.lock,
        "--pidfile": files.pidfile,
        "--record": files.record,
        "--status": files.status,
        "--log": files.log,
        "--env-file": supervisor.env_file(str(root / "shared"), spec.name),
        "--secrets": spec.env_file,
        "--readiness": spec.readiness,
        "--start-timeout": f"{spec.start_timeout_seconds:g}",
        "--stop-timeout": f"{spec.stop_timeout_seconds:g}",
    }
    if notify and settings.app is not None and settings.supervisor.watchdog_seconds:
        options["--watchdog"] = f"{settings.supervisor.watchdog_seconds:g}"
    lines = [(python, "-I", "-m", "ops.node.wrapper"), *options.items(), ("--", *spec.command)]
    start = supervisor.start_seconds(spec.start_timeout_seconds) if notify else 0.0
    return {
        "program": kept.program(spec.name),
        "command": [" ".join(map(argument, line)) for line in lines],
        "start_seconds": math.ceil(start + _MARGIN_SECONDS),
        "stop_seconds": math.ceil(supervisor.stop_seconds(spec.stop_timeout_seconds) + _MARGIN_SECONDS),
    }


def argument(text: str) -> str:
    """Write one word of a program's command as supervisor reads it: comments cut, `%` expanded, split as a shell would.

    Raises
    ------
    SettingsError : a line break or a NUL byte is in it.
    """
    if re.search(r"[\n\r\0]", text):
        raise SettingsError(f"supervisor's commands have no line breaks: {text!r}", where="karafka.command")
    quoted = shlex.quote(text).replace("%", "%%").replace("%%(", "%%''(")  # %(here)s is looked for before %% is
    return _COMMENT.sub(r"\1''\2", quoted)


def _value(key: str, text: str) -> str:
    """Write a value that is all of its line."""
    if re.search(r"[\n\r\0]", text) or _COMMENT.search(text) or "%(here)s" in text:
        raise SettingsError(f"supervisor cannot read this back: {text!r}", where=key)
    return text.replace("%", "%%")


def _env_text(application: str, spec: ProcessSpec) -> str:
    head = f"# Of {spec.name} of {application}; made by `fab karafka.install`."
    return "\n".join((head, *_assignments(spec.env), ""))


def _assignments(env: Mapping[str, str]) -> list[str]:
    lines = []
    for name, value in env.items():
        if re.search(r"[\n\r\0]", value):
            raise SettingsError(
                f"the value of {name} has a line break, which no env file can have", where="karafka.env"
            )
        lines.append(f"{name}=" + '"' + re.sub(r'(["\\$`])', r"\\\1", value) + '"')
    return lines
