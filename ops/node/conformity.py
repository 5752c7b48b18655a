"""Whether the cluster has what a release reads and writes: `flow --check` of that very release, by its interpreter."""

from __future__ import annotations

import re
from pathlib import Path

from ops.core.errors import OpsError
from ops.core.protocol import ProcessSpec
from ops.core.records import replace
from ops.core.release import DeployCall
from ops.node import environment
from ops.node.streaming import Run

# Any release that runs ops.consumer has the task, whether or not it has a tasks.py.
_CODE = """
from invoke import Program
from ops.tasks import namespace
Program(namespace=namespace, name="inv", binary="inv").run(["inv", "flow", "--check"])
"""
_MISSING = re.compile(r"topic \S+ does not exist")
_FEWER = re.compile(r"topic \S+ has [0-9]+ partition")


class MissingTopicsError(OpsError):
    """A release for which the cluster lacks topics."""


def verify(spec: ProcessSpec, call: DeployCall, release: Path, run: Run) -> tuple[str, ...]:
    """Run the check in a release's folder, with the environment of its processes.

    Returns
    -------
    What it says: that all is there, or which topics have fewer partitions than there are processes, which harms nobody.

    Raises
    ------
    EnvFileError : the env file is in the way.
    MissingTopicsError : topics are missing; it names them.
    OpsError : the check itself fails.
    """
    own = replace(spec, directory=str(release))
    env = environment.compose_question(own)
    said: list[str] = []
    ended = run([call.python, "-c", _CODE], call.timeout_seconds, said.append, directory=release, env=env)
    missing = [line for line in said if _MISSING.match(line)]
    if missing:
        what = f"release {release.name} does not fit the cluster: {'; '.join(missing)}"
        raise MissingTopicsError(what, hint="inv topics.apply makes them; then deploy again")
    fewer = tuple(line for line in said if _FEWER.match(line))
    if not fewer:
        ended.require(f"flow --check of release {release.name}")
    return fewer or ("what it reads and writes is there",)
