"""The topics that an app needs on the cluster, looked at before it starts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from ops.consumer.errors import MissingTopicError
from ops.consumer.route import Route
from ops.core.deadline import Deadline

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0  # topics that were made a moment ago may not be known to every broker yet


def ensure_topics(
    routes: Iterable[Route], existing: Callable[[Collection[str]], Mapping[str, int]], options: dict[str, Any]
) -> None:
    """See that every topic exists that is read or sent to; missing topics of jobs and dead letters are made.

    Parameters
    ----------
    existing : gives those of some topics that exist, and how many partitions each has.
    options : of a connection that makes topics, which is opened only where one is missing; see
        `client.connection_options`.

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
    there: dict[str, int] = {}

    def look() -> bool:
        there.update(existing({*needed, *own}))
        return not missing()

    def missing() -> list[str]:
        return sorted(set(needed) - set(own) - set(there))

    if not look():
        log.warning("waiting for topics: %s", ", ".join(missing()))
        Deadline(GRACE_SECONDS).poll(look, every=0.25)
    if missing():
        raise MissingTopicError(
            "; ".join(f"topic {name!r} ({needed[name]}) does not exist" for name in missing()),
            where=",".join(options["bootstrap_servers"]),
            hint="create it, or correct the route",
        )
    for name, count in own.items():
        if name in there and there[name] < count:
            raise MissingTopicError(
                f"topic {name!r} has {there[name]} partition(s), and the app uses {count}",
                hint=f"add partitions, or JobsBackend(partitions={there[name]}) while no job is queued",
            )
    absent = {name: own[name] for name in sorted(set(own) - set(there))}
    if absent:
        admin = KafkaAdminClient(**options)
        try:
            for name, count in absent.items():
                _create(admin, name, count)
        finally:
            admin.close()


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
