"""What a sandbox's folder holds: the hosts' releases as a deploy would leave them, and the fleet's settings."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.sandbox.daemon import MARKER
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.service import HostFiles

STAGE = "sandbox"
_SHARED = ("tmp/pids", "log", "config")
_HEAD = """\
# Written by `inv sandbox.up`: the settings of the local fleet. Try
#   fab -f {path} karafka.status
"""


def make_release(host: HostFiles, settings: Path) -> None:
    """Lay out deploy_to as a set-up host has it; the code itself is the interpreter's own.

    Parameters
    ----------
    settings : the fleet's fabric.yaml, linked into the release so that `inv` works there.
    """
    name = time.strftime("%Y%m%d%H%M%S", time.gmtime())
    release = host.deploy_to / "releases" / name
    release.mkdir(parents=True)
    (release / "REVISION").write_text("sandbox\n")
    (release / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    (release / "fabric.yaml").symlink_to(settings)
    (host.deploy_to / "current").symlink_to(Path("releases") / name)
    for folder in _SHARED:
        (host.deploy_to / "shared" / folder).mkdir(parents=True)
    key = json.dumps({"host": host.name, "stage": STAGE})
    (host.deploy_to / "shared" / "karafka-ops-host.json").write_text(f"{key}\n")


def application_env(directory: Path, bootstrap: str, remote_url: str) -> dict[str, str]:
    """Give what the reference apps read from their environment."""
    return {
        "KARAFKA_BROKERS": bootstrap,
        "SOURCES_DATABASE_URL": f"sqlite:///{directory / 'shared.db'}",
        "SOURCES_REMOTE_URL": remote_url,
    }


def write_settings(path: Path, fleet: LocalFleet, env: Mapping[str, str], processes: int) -> None:
    """Write fabric.yaml: the fleet as Fabric and the `karafka:` section want it.

    What `fab` installs on its hosts stays in its folder.
    """
    rules = fleet.directory / "logrotate.d"
    rules.mkdir(exist_ok=True)
    hosts = [_host(one.files) for one in fleet.hosts]
    settings = {
        "user": fleet.hosts[0].files.user,
        "load_ssh_configs": False,  # the operator's own is about other hosts
        "connect_kwargs": {"key_filename": str(fleet.key), "look_for_keys": False, "allow_agent": False},
        "karafka": {
            "application": "sources",
            "app": "ops.reference.sources:app",
            "deploy_to": str(fleet.directory / "hosts"),  # each host has its own
            "command": [sys.executable, "-m", "ops.reference", "server"],
            "agent_python": sys.executable,
            "env": {**env, MARKER: str(fleet.directory / "hosts")},  # by it `down` knows who was started there
            "processes": processes,
            "kafka": {"brokers": [env["KARAFKA_BROKERS"]]},
            "known_hosts": str(fleet.known_hosts),
            "logrotate_d": str(rules),
            "rollout": {"settle_seconds": 1},  # what is bundled does not need a long look
            "stage": STAGE,
            "stages": {STAGE: {"hosts": hosts}},
        },
    }
    path.write_text(_HEAD.format(path=path) + _yaml(settings))


def write_env(path: Path, env: Mapping[str, str]) -> None:
    """Write what the reference apps need, for a shell to read: `. .sandbox/env`."""
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items()))


def _host(files: HostFiles) -> dict[str, Any]:
    return {
        "host": files.name,
        "address": files.address,
        "port": files.port,
        "user": files.user,
        "roles": ["karafka"],
        "deploy_to": str(files.deploy_to),
    }


def _yaml(value: Mapping[str, Any], indent: str = "") -> str:
    """Give a mapping as YAML: blocks of mappings, everything else as the JSON that YAML includes."""
    text = ""
    for key, below in value.items():
        if isinstance(below, Mapping) and below:
            text += f"{indent}{key}:\n{_yaml(below, indent + '  ')}"
        elif isinstance(below, list) and below and isinstance(below[0], Mapping):
            text += f"{indent}{key}:\n" + "".join(f"{indent}  - {json.dumps(one)}\n" for one in below)
        else:
            text += f"{indent}{key}: {json.dumps(below)}\n"
    return text
