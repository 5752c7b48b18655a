"""Topics looked at and made; each is answered for by itself: one that may not be made keeps no other from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    NoError,
    NotControllerError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from ops.core.topic_plan import FoundTopic, TopicChange
from ops.kafka.connection import Cluster

_TIMEOUT_MS = 5000


def look(cluster: Cluster, names: Mapping[str, Collection[str]]) -> tuple[dict[str, FoundTopic], dict[str, str]]:
    """Return the topics that exist, and why others cannot be looked at.

    Parameters
    ----------
    names : of topics, each with the keys of its config that are wanted.

    Raises
    ------
    UnreachableError, ClusterError : no answer.
    """

    def question(admin: Any) -> list[Any]:
        answer: list[Any] = admin.describe_topics(sorted(names))
        for one in answer:
            error = for_code(one["error_code"])
            if error.retriable and error is not UnknownTopicOrPartitionError:
                raise error(f"topic {one['name']}")
        return answer

    found, troubles = {}, {}
    for one in cluster.ask(question) if names else ():
        error, name = for_code(one["error_code"]), one["name"]
        if error is NoError:
            replicas = [len(each["replica_nodes"]) for each in one["partitions"]]
            found[name] = FoundTopic(len(replicas), min(replicas, default=0))
        elif error is not UnknownTopicOrPartitionError:
            troubles[name] = _said(error, "")
    wanted = {name: names[name] for name in found if names[name]}
    for name, config in _configs(cluster, wanted).items():
        found[name] = FoundTopic(found[name].partitions, found[name].replication, config)
    return found, troubles


def create(cluster: Cluster, changes: Iterable[TopicChange], *, only_try: bool = False) -> dict[str, str]:
    """Make topics; return why some were not made. One that is there by now counts as made: compare it.

    Parameters
    ----------
    only_try : let the cluster say what it would refuse, and make nothing.

    Raises
    ------
    UnreachableError, ClusterError : no answer.
    """
    wanted = {
        one.topic: {"num_partitions": one.partitions, "replication_factor": one.replication, "configs": one.config}
        for one in changes
    }

    def ask(admin: Any, left: Collection[str]) -> list[Any]:
        part = {name: wanted[name] for name in left}
        answer = admin.create_topics(part, timeout_ms=_TIMEOUT_MS, validate_only=only_try, raise_errors=False)
        return list(answer["topics"])

    return _each(cluster, wanted, ask)


def add_partitions(cluster: Cluster, changes: Iterable[TopicChange], *, only_try: bool = False) -> dict[str, str]:
    """Add partitions to topics; see `create`."""
    wanted = {one.topic: one.partitions for one in changes}

    def ask(admin: Any, left: Collection[str]) -> list[Any]:
        part = {name: wanted[name] for name in left}
        answer = admin.create_partitions(part, timeout_ms=_TIMEOUT_MS, validate_only=only_try, raise_errors=False)
        return list(answer.to_dict()["results"])

    return _each(cluster, wanted, ask)


def _each(cluster: Cluster, names: Collection[str], ask: Callable[[Any, Collection[str]], list[Any]]) -> dict[str, str]:
    """Ask until each topic has a last word; return what was refused."""
    left, troubles = sorted(names), {}

    def question(admin: Any) -> None:
        again = None
        try:
            answers = ask(admin, left)
        except RuntimeError as moved:  # kafka-python: the controller is not where it was looked for twice
            raise NotControllerError(str(moved)) from moved
        for one in answers:
            error = for_code(one["error_code"])
            if error.retriable:
                again = error
                continue
            left.remove(one["name"])
            if error not in (NoError, TopicAlreadyExistsError):
                troubles[one["name"]] = _said(error, one.get("error_message") or "")
        if again is not None:
            raise again(f"topic {left[0]}")

    if left:
        cluster.ask(question)
    return troubles


def _configs(cluster: Cluster, wanted: Mapping[str, Collection[str]]) -> dict[str, dict[str, str]]:
    """Return the config of topics, of those that may be asked for it."""
    if not wanted:
        return {}
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, name, dict.fromkeys(keys)) for name, keys in sorted(wanted.items())
    ]
    found = cluster.ask(lambda admin: admin.describe_configs(resources, config_filter="all"))
    return {
        name: {key: str(entry["value"]) for key, entry in config.items()}
        for name, config in found.get("topic", {}).items()
    }


def _said(error: Any, message: str) -> str:
    return f"{error.__name__}: {message or error.description}"
