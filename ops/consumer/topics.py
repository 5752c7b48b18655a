"""The topics that an app needs on the cluster, looked at before it starts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError

from ops.consumer.errors import MissingTopicError
from ops.consumer.route import Route
from ops.core.amounts import counted
from ops.core.deadline import Deadline

log = logging.getLogger(__name__)

GRACE_SECONDS = 5.0  # topics that were made a moment ago may not be known to every broker yet


@dataclass(frozen=True)
class TopicNeed:
    """A topic that an app reads or sends to, by the cluster's name.

    Attributes
    ----------
    why : which of the app's classes names it, in words.
    partitions : that it must have; None for no matter.
    made_at_start : the app makes it where it is missing.
    """

    name: str
    why: str
    partitions: int | None = None
    made_at_start: bool = False


def needs_of(routes: Iterable[Route]) -> tuple[TopicNeed, ...]:
    """Return the topics that routes read or send to, with those of jobs and dead letters; each once."""
    found: dict[str, TopicNeed] = {}
    for route in routes:
        sender = f"sent to by {route.responder.__name__ if route.responder else route.controller.__name__}"
        jobs = route.jobs
        named = [
            TopicNeed(
                route.source, f"read by {route.controller.__name__}", route.partitions, route.partitions is not None
            ),
            *(TopicNeed(name, sender) for name in route.responses),
            *([TopicNeed(route.mapper.outgoing(jobs.topic), "jobs", jobs.partitions, True)] if jobs else []),
            TopicNeed(route.dead_letter_topic, "dead letters", made_at_start=True),
        ]
        for one in named:
            known = found.get(one.name, one)
            count = max((each.partitions for each in (known, one) if each.partitions is not None), default=None)
            found[one.name] = replace(known, partitions=count, made_at_start=known.made_at_start or one.made_at_start)
    return tuple(found.values())


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
    every = needs_of(routes)
    needed = {one.name: one.why for one in every if not one.made_at_start}
    own = {one.name: one.partitions or -1 for one in every if one.made_at_start}
    there: dict[str, int] = {}

    def look() -> bool:
        there.update(existing({*needed, *own}))
        return not missing()

    def missing() -> list[str]:
        return sorted(set(needed) - set(there))

    if not look():
        log.warning("waiting for topics: %s", ", ".join(missing()))
        Deadline(GRACE_SECONDS).poll(look, every=0.25)
    if missing():
        raise MissingTopicError(
            "; ".join(f"topic {name!r} ({needed[name]}) does not exist" for name in missing()),
            where=",".join(options["bootstrap_servers"]),
            hint="inv topics.apply makes it; or correct the route",
        )
    for name, count in own.items():
        if name in there and there[name] < count:
            raise MissingTopicError(
                f"topic {name!r} has {counted(there[name], 'partition')}, and the app uses {count}",
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
            f"topic {name!r} does not exist and cannot be created: {error}", hint="inv topics.apply, by who may"
        ) from error
