"""How many dead letters of a topic were neither sent again nor discarded, by offsets alone: none is read."""

from __future__ import annotations

import logging
from collections.abc import Collection

from ops.core.cluster import Partition
from ops.core.errors import OpsError, UnreachableError
from ops.core.handled import Handled, handler_of
from ops.kafka.connection import Cluster
from ops.kafka.offsets import begin_offsets, end_offsets
from ops.kafka.topics import leaders

log = logging.getLogger(__name__)


def count_letters(cluster: Cluster, topics: Collection[str]) -> dict[str, int | None]:
    """Return the number of each topic's letters: 0 for a topic that does not exist, None for one that is not told.

    Nothing is raised: who looks at processes is not to fail by their letters. Nor to wait by them: once a question was
    not answered in time, the topics that are left are not told.
    """
    found: dict[str, int | None] = dict.fromkeys(topics)
    for topic in topics:
        try:
            found[topic] = _count(cluster, topic)
        except OpsError as error:
            log.debug("the letters of %s: %s", topic, error)
            if isinstance(error, UnreachableError):
                break
    return found


def _count(cluster: Cluster, topic: str) -> int | None:
    """Return how many there are in a topic.

    Raises
    ------
    UnreachableError, ClusterError : no answer; a topic or group that may not be looked at.
    """
    leading = leaders(cluster, [topic])
    if any(leader < 0 for leader in leading.values()):
        return None
    if not leading:
        return 0
    ends, begins = end_offsets(cluster, leading), begin_offsets(cluster, leading)
    group = handler_of(topic)
    commits = cluster.ask(lambda admin: admin.list_group_offsets([group])).get(group, {})
    places = {Partition(*one): its for one, its in commits.items() if its.offset >= 0}
    total = 0
    for partition, end in ends.items():
        place = places.get(partition)
        handled = Handled(place.offset, place.metadata or "") if place is not None else Handled(0)
        handled.add(0, begins.get(partition, 0))
        total += handled.left(end)
    return total
