"""Topics and their partitions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from kafka.errors import NoError, UnknownTopicOrPartitionError, for_code

from ops.core.cluster import Partition
from ops.kafka.connection import Cluster
from ops.kafka.errors import ClusterError


def partition_counts(cluster: Cluster, topics: Collection[str]) -> dict[str, int | None]:
    """Give the number of partitions of each topic, None for one that does not exist; one request for all.

    Raises
    ------
    UnreachableError, ClusterError : no answer; a topic that may not be looked at.
    """
    found = describe(cluster, topics)
    return {topic: None if topic not in found else len(found[topic]) for topic in topics}


def leaders(cluster: Cluster, topics: Collection[str]) -> dict[Partition, int]:
    """Give the leading broker of each partition of the topics that exist; -1 where nobody leads just now."""
    return {
        Partition(topic, partition["partition_index"]): partition["leader_id"]
        for topic, partitions in describe(cluster, topics).items()
        for partition in partitions
    }


def describe(cluster: Cluster, topics: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """Give the partitions of the topics that exist, as the brokers describe them."""
    names = sorted(set(topics))
    if not names:
        return {}
    found = {}
    for topic in cluster.ask(lambda admin: admin.describe_topics(names)):
        error = for_code(topic["error_code"])
        if error is NoError:
            found[topic["name"]] = topic["partitions"]
        elif error is not UnknownTopicOrPartitionError:
            raise ClusterError(f"{error.__name__}: {error.description}", where=f"topic {topic['name']}")
    return found
