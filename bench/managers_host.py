"""Ten processes each under pidfiles and under systemd, on a host whose PID 1 is systemd: `inv status` there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from bench.measure import Contender
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.core.protocol import Verb
from ops.core.section import load
from ops.sandbox.census import guard
from ops.sandbox.deployed import Deployed
from ops.sandbox.nspawn import PYTHON, USER, SystemdHost
from ops.tasks.project import HOST_FILE

MANAGERS = ("pidfile", "systemd")
_FILE = """\
karafka:
  application: {manager}
  deploy_to: /srv/{manager}
  agent_python: {python}
  command: sleep 600
  processes: {processes}
  readiness: alive
  manager: {manager}
  stages: {{bench: {{hosts: [{{host: host1}}]}}}}
"""


@contextmanager
def at_a_host(directory: Path, processes: int) -> Iterator[dict[str, Contender]]:
    """Let the processes of both managers run there; gives `inv status` of each.

    Raises
    ------
    OpsError : this machine cannot boot such a host, or a process does not start.
    """
    with SystemdHost(directory, "host1") as host:
        guard(host.directory, Identity.own())
        yield {manager: _contender(host, directory, manager, processes) for manager in MANAGERS}


def _contender(host: SystemdHost, directory: Path, manager: str, processes: int) -> Contender:
    text = _FILE.format(manager=manager, python=PYTHON, processes=processes)
    application = Deployed(host, load(yaml.safe_load(text)["karafka"]))
    application.release("1", {"fabric.yaml": text, "tasks.py": "from ops.tasks import namespace as ns\n"})
    host_file = application.root / HOST_FILE
    host.write(str(host_file), '{"host": "host1", "stage": "bench"}', user=USER)
    if manager == "systemd":
        application.install()
    for report in application.ask(Verb.START).processes:
        if not report.ok:
            raise OpsError(f"{report.name}: {report.message}", where=manager)
    script = f"cd {application.root}/current && exec {PYTHON} -m invoke status"
    argv = host.inside("sh", "-c", script)
    return Contender(f"inv status, {manager} on a systemd host", argv, directory, expect="running", times=processes)
