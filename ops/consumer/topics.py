"""The topics that an app needs on the cluster, looked at before it starts."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from ops.consumer.errors import MissingTopicError
from ops.consumer.route import Route
from ops.core.deadline import Deadline

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0  # topics that were made a moment ago may not be known to every broker yet


def ensure_topics(routes: Iterable[Route], options: dict[str, Any]) -> None:
    """See that every topic exists that is read or sent to; missing topics of jobs and dead letters are made.

    Parameters
    ----------
    options : of the connection; see `client.connection_options`.

    Raises
    ------
    MissingTopicError : it names the topics, and where the app names them; or a topic has too few partitions.
    """
    needed: dict[str, str] = {}
    own: dict[str, int] = {}
    for route in routes:
        if route.jobs is not None:
            own[route.mapper.outgoing(route.jobs.topic)] = route.jobs.partitions
        if route.partitions is not None:
            own[route.source] = route.partitions
        needed.setdefault(route.source, f"read by {route.controller.__name__}")
        for name in route.responses:
            needed.setdefault(name, f"sent to by {route.responder.__name__ if route.responder else ''}")
        own.setdefault(route.dead_letter_topic, -1)
    admin = KafkaAdminClient(**options)
    try:
        missing = set(needed) - set(own)

        def look() -> bool:
            missing.difference_update(admin.list_topics())
            return not missing

        if not look():
            log.warning("waiting for topics: %s", ", ".join(sorted(missing)))
            Deadline(GRACE_SECONDS).poll(look, every=0.25)
        if missing:
            raise MissingTopicError(
                "; ".join(f"topic {name!r} ({needed[name]}) does not exist" for name in sorted(missing)),
                where=",".join(options["bootstrap_servers"]),
                hint="create it, or correct the route",
            )
        there = set(admin.list_topics())
        for name in sorted(set(own) - there):
            _create(admin, name, own[name])
        _enough(admin, {name: count for name, count in own.items() if name in there and count > 0})
    finally:
        admin.close()


def _enough(admin: Any, counts: dict[str, int]) -> None:
    """See that topics have the partitions that jobs are sent to."""
    for topic in admin.describe_topics(list(counts)) if counts else ():
        name, have = topic["name"], len(topic["partitions"])
        if have < counts[name]:
            raise MissingTopicError(
                f"topic {name!r} has {have} partition(s), and the app uses {counts[name]}",
                hint=f"add partitions, or JobsBackend(partitions={have}) while no job is queued",
            )


def _create(admin: Any, name: str, partitions: int) -> None:
    """Make a topic of our own; partitions -1 for as many as the cluster gives a topic."""
    try:
        admin.create_topics([NewTopic(name, num_partitions=partitions, replication_factor=-1)])
        log.info("created the topic %s", name)
    except TopicAlreadyExistsError:
        return
    except KafkaError as error:
        raise MissingTopicError(
            f"topic {name!r} does not exist and cannot be created: {error}", hint="create it"
        ) from error
