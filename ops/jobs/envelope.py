"""A job as a message: what it holds, its key, and the partition that its key belongs to.

    {"id": "5f...", "worker": "RefreshWorker", "topic": "sources_refresh", "at": 1767225600.1, "params": {...}}

The partition is taken from the number that the app declares, never from what the topic has: so partitions may be added
to the topic, and a key stays in its own.
"""

from __future__ import annotations

import json
import time
import uuid
import zlib
from typing import Any, NamedTuple

from ops.consumer.message import Output
from ops.consumer.parser import serialize
from ops.consumer.route import Route
from ops.jobs.errors import MalformedJobError
from ops.jobs.worker import worker_name, worker_of


class Job(NamedTuple):
    """One job.

    Attributes
    ----------
    id : for people.
    worker : the name of the worker's class, or of the controller's where the route names none.
    topic : the app's name of the topic whose route it came by.
    at : when it was enqueued, seconds since 1970.
    params : as the route's interchanger gave them.
    """

    id: str
    worker: str
    topic: str
    at: float
    params: Any


def job_of(route: Route, params: Any) -> Output:
    """Make the message that enqueues a job of a route.

    Raises
    ------
    TypeError, ValueError : the params have no JSON form; the route needs an interchanger.
    """
    jobs = route.jobs
    assert jobs is not None, f"{route.topic} has no background jobs"
    worker, name = worker_of(route), worker_name(route)
    unique = worker.unique_args("" if worker.across_workers else name, params)
    key = json.dumps(unique, separators=(",", ":"), default=str).encode()
    job = {
        "id": uuid.uuid4().hex,
        "worker": name,
        "topic": route.topic,
        "at": round(time.time(), 3),
        "params": route.interchanger.dump(params),
    }
    return Output(route.mapper.outgoing(jobs.topic), serialize(job), key, (), zlib.crc32(key) % jobs.partitions)


def read_job(data: Any) -> Job:
    """Read a job from what JSON gave.

    Raises
    ------
    MalformedJobError : it is none.
    """
    try:
        job = Job(str(data["id"]), data["worker"], data["topic"], float(data["at"]), data["params"])
    except (KeyError, TypeError, ValueError) as error:
        raise MalformedJobError(f"no job: {type(error).__name__}: {error}", where="jobs") from None
    if not isinstance(job.worker, str) or not isinstance(job.topic, str):
        raise MalformedJobError("worker and topic must be names", where="jobs")
    return job
