"""The environment a process is started with.

From weak to strong: a few variables of the agent's own, the settings' `env`, the host's env file
(it carries what only the host may know), and what the agent itself has to say.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ops.core import description, envfile
from ops.core.errors import OpsError
from ops.core.handover import DRAIN_VARIABLE, FRESH_VARIABLE, NOTIFY_VARIABLE, WATCHDOG_VARIABLE
from ops.core.process import ProcessSpec

STATUS_VARIABLE = "KARAFKA_STATUS_FILE"
LOG_VARIABLE = "KARAFKA_LOG_FILE"
INSTANCE_VARIABLE = "KARAFKA_INSTANCE_ID"
BROKERS_VARIABLE = "KARAFKA_BROKERS"
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR")
_SANDBOX = "KARAFKA_SANDBOX"  # set in sessions on a sandbox's hosts: its end finds by it what was started there
_NOWHERE = "127.0.0.1:1"
_OF_THE_SLOT = (
    INSTANCE_VARIABLE,
    STATUS_VARIABLE,
    LOG_VARIABLE,
    DRAIN_VARIABLE,
    FRESH_VARIABLE,
    NOTIFY_VARIABLE,
    WATCHDOG_VARIABLE,
)


class LaunchError(OpsError):
    """A process that could not be started; `what` says why."""


def directory_of(spec: ProcessSpec) -> str:
    """Give the folder that a command is started in, links resolved.

    Raises
    ------
    LaunchError : there is none.
    """
    directory = os.path.realpath(spec.directory)
    if not Path(directory).is_dir():
        raise LaunchError(f"there is no folder {spec.directory} to start in", hint="deploy first")
    return directory


def compose(
    spec: ProcessSpec, *, notify_address: str = "", inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """Compose the environment of a process.

    Raises
    ------
    EnvFileError : the env file is unreadable, not of mode 0600, or malformed.
    """
    environment = {name: inherited[name] for name in (*INHERITED, _SANDBOX) if name in inherited}
    environment |= {name: value for name, value in inherited.items() if name.startswith("LC_")}
    environment.setdefault("PATH", os.defpath)
    environment |= spec.env
    if spec.env_file:
        environment |= envfile.read(Path(spec.env_file))
    environment |= {STATUS_VARIABLE: spec.files.status, LOG_VARIABLE: spec.files.log}
    environment[DRAIN_VARIABLE] = f"{spec.stop_timeout_seconds:g}"
    environment.pop(FRESH_VARIABLE, None)  # of one takeover: nobody may make it last
    if spec.fresh_member_of:
        environment[FRESH_VARIABLE] = ",".join(spec.fresh_member_of)
    if notify_address:
        environment[NOTIFY_VARIABLE] = notify_address
    return environment


def compose_description(spec: ProcessSpec) -> dict[str, str]:
    """Compose the environment of a command that is to say what it reads, and to work on nothing.

    It has all that a start would have but its slot. A release that does not know the question would go on to work:
    so no broker is where it looks for one.

    Raises
    ------
    EnvFileError : as above.
    """
    environment = compose_question(spec)
    return environment | {description.VARIABLE: str(description.DESCRIPTION), BROKERS_VARIABLE: _NOWHERE}


def compose_question(spec: ProcessSpec) -> dict[str, str]:
    """Compose the environment of a command that works as no process of a slot: all that a start would have beside it.

    Raises
    ------
    EnvFileError : as above.
    """
    environment = compose(spec)
    for name in _OF_THE_SLOT:
        environment.pop(name, None)
    return environment
