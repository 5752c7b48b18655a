"""Installed applications without Kafka on a systemd host."""

from __future__ import annotations

import itertools
from typing import Any, Protocol

from ops.core import section
from ops.sandbox.nspawn import PYTHON, USER, SystemdHost
from tests.labs.staying import Staying

STANDS_READY = "from ops.core.notify import Notifier; Notifier.from_environment().ready(); import time; time.sleep(300)"
_numbers = itertools.count()


class MakeServing(Protocol):
    """Makes installed applications: `serving("import time; ...", processes=1)` runs that as Python."""

    def __call__(self, script: str = STANDS_READY, **more: Any) -> Staying: ...


def install(host: SystemdHost, script: str, **more: Any) -> Staying:
    """Install an application that runs a script; `more` are settings."""
    name = f"serving{next(_numbers)}"
    settings = {
        "application": name,
        "deploy_to": f"/srv/{name}",
        "command": [PYTHON, "-c", script],
        "agent_python": PYTHON,
        "manager": "systemd",
        "stages": {"test": {"hosts": [{"host": "h1", "user": USER}]}},
        **more,
    }
    made = Staying(host, section.load(settings))
    made.release("1")
    made.install()
    return made


def end(host: SystemdHost, application: Staying) -> None:
    """End all its processes."""
    units = [application.unit(index) for index in range(len(application.specs))]
    user = USER if application.kept.scope == "user" else "root"
    for command in (["kill", "--signal=KILL"], ["stop"], ["reset-failed"]):
        host.run(*application.systemctl(*command, *units), check=False, user=user)
