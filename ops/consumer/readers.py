"""What performs the messages of each topic of a group: a thread, or a pool of lanes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ops.consumer.delivery import Sent
from ops.consumer.lane_pool import LanePool
from ops.consumer.outbox import Outbox
from ops.consumer.progress import Progress
from ops.consumer.retry import RetryPolicy
from ops.consumer.route import Route
from ops.consumer.topic_thread import TopicThread

Reader = TopicThread | LanePool


def readers_of(
    routes: Iterable[Route],
    outbox: Outbox,
    finished: deque[Sent],
    retry: RetryPolicy,
    progress: Progress,
    session_seconds: float,
) -> dict[str, Reader]:
    """Make them, by the cluster's names of the topics.

    Parameters
    ----------
    finished : the queue that topics' threads hand finished parts over by; pools are asked.
    session_seconds : of the group's members.
    """
    return {
        route.source: TopicThread(route, outbox, finished, retry, progress)
        if route.concurrency is None
        else LanePool(route, outbox, retry, progress, session_seconds)
        for route in routes
    }
