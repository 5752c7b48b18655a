"""Processes of the app `sources`, whose topics and groups are the same wherever it runs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from ops.core.brokers import Brokers

GROUPS = ("sources", "sources.jobs")
_DRAIN_SECONDS = 20.0


def end(processes: Iterable[subprocess.Popen[bytes]], bootstrap: str) -> None:
    """End processes and their places in the groups: the next test's processes wait for nobody."""
    from ops.kafka.connection import Cluster
    from ops.kafka.groups import observe
    from ops.kafka.members import remove_members

    left = [one for one in processes if one.poll() is None]
    for process in left:
        process.terminate()
    for process in left:
        try:
            process.communicate(timeout=_DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    with Cluster(Brokers.at(bootstrap)) as cluster:
        for group in observe(cluster, GROUPS):
            remove_members(cluster, group.name, [one.instance_id for one in group.members if one.instance_id])
