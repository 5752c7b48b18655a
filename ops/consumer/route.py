"""Routes: data that says which controller a topic's messages go to."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, NamedTuple

from ops.consumer.backend import Backend
from ops.consumer.controller import Controller
from ops.consumer.names import TopicMapper
from ops.consumer.parser import Interchanger, Parser
from ops.consumer.responder import Responder


class Jobs(NamedTuple):
    """Where a route's background jobs go.

    Attributes
    ----------
    topic : the app's name of it.
    partitions : of it that are used.
    """

    topic: str
    partitions: int


@dataclass(frozen=True)
class Route:
    """One topic's way through the app.

    Attributes
    ----------
    topic : the app's name of it; `source` is the cluster's.
    controller, responder : classes; a route without responder sends nothing.
    group : consumer group, the id on the cluster.
    worker : class that performs background jobs of this route.
    parser : bytes to params.
    interchanger : params to a job's data and back.
    inline_mode : performed at once, by no backend.
    batch_mode : one controller for all messages of the topic that wait, whatever their partition, up to 500.
    start_from_beginning : where a group without committed offsets begins.
    dead_letter : the app's name of the topic for messages that fail for good.
    concurrency : messages performed at the same time, each of another lane; None for one after the other. A message's
        lane is its key, or what `before_enqueue` sets as `params["uniqueness_scope"]`; one that has neither has a lane
        of its own. All messages of a lane must be in one partition.
    jobs : where its background jobs go; None for a route that has none.
    partitions : how many the topic must have; it is made with them where it is missing. None for no matter.
    """

    topic: str
    controller: type[Controller]
    responder: type[Responder] | None
    group: str
    worker: type[Any] | None
    parser: Parser
    interchanger: Interchanger
    inline_mode: bool
    batch_mode: bool
    start_from_beginning: bool
    dead_letter: str
    mapper: TopicMapper
    backend: Backend
    concurrency: int | None = None
    jobs: Jobs | None = None
    partitions: int | None = None

    @property
    def source(self) -> str:
        """The cluster's name of the topic."""
        return self.mapper.outgoing(self.topic)

    @property
    def dead_letter_topic(self) -> str:
        """The cluster's name of the dead-letter topic."""
        return self.mapper.outgoing(self.dead_letter)

    @property
    def responses(self) -> tuple[str, ...]:
        """The cluster's names of the topics that it, or its worker, may send to."""
        own = () if self.jobs is None else (self.jobs.topic,)
        return tuple(self.mapper.outgoing(name) for name in (*own, *(self.responder.table if self.responder else ())))


def responder_for(controller: type[Controller]) -> type[Responder] | None:
    """Find XResponder beside XController, in the controller's module; None when there is none."""
    name = controller.__name__
    if not name.endswith("Controller"):
        return None
    found = getattr(sys.modules.get(controller.__module__), name.removesuffix("Controller") + "Responder", None)
    return found if isinstance(found, type) and issubclass(found, Responder) else None
