"""The app that performs another app's jobs: one route, from the jobs topic to its workers."""

from __future__ import annotations

from typing import Any, ClassVar

from ops.consumer.app import App
from ops.consumer.controller import Controller
from ops.consumer.errors import RoutingError
from ops.consumer.message import Output
from ops.consumer.responder import Responder, TopicDeclaration
from ops.consumer.route import Route
from ops.jobs.envelope import Job, read_job
from ops.jobs.errors import UnknownWorkerError
from ops.jobs.worker import BaseWorker, worker_name, worker_of

CONCURRENCY = 16


class JobController(Controller):
    """Performs one job: finds its route and worker, and lets that one work.

    Attributes
    ----------
    origins : the routes whose jobs they are, by worker's name and topic.
    """

    origins: ClassVar[dict[tuple[str, str], Route]] = {}
    _worker: BaseWorker | None = None

    def perform(self) -> None:
        """Let the worker do it.

        Raises
        ------
        MalformedJobError, UnknownWorkerError : it is no job, or nobody's. Whatever the worker raises.
        """
        job = read_job(self.params)
        origin = self.origin_of(job)
        params = origin.interchanger.load(job.params)
        self._worker = worker_of(origin)(origin.controller(origin, self.messages, (params,)))
        try:
            self._worker.perform()
        finally:
            self.refusals = self._worker.controller.refusals

    def outputs(self) -> list[Output]:
        """Give what the worker sends."""
        return self._worker.controller.outputs() if self._worker is not None else []

    def after_failure(self, error: Exception) -> None:
        """Tell the worker; a job that was never begun in this process has none yet."""
        if self._worker is None:
            job = read_job(self.params)
            origin = self.origin_of(job)
            params = origin.interchanger.load(job.params)
            self._worker = worker_of(origin)(origin.controller(origin, self.messages, (params,)))
        self._worker.after_failure(error)

    def fail(self, error: Exception) -> list[Output]:
        """Forget what was buffered, tell the worker, give what that one sent."""
        if self._worker is not None:
            self._worker.controller.forget()
        self.after_failure(error)
        return self._worker.controller.buffered() if self._worker is not None else []

    @classmethod
    def origin_of(cls, job: Job) -> Route:
        """Give the route of a job.

        Raises
        ------
        UnknownWorkerError : there is none.
        """
        origin = cls.origins.get((job.worker, job.topic))
        if origin is None:
            raise UnknownWorkerError(
                f"no route of topic {job.topic!r} has a worker {job.worker!r}",
                where="jobs",
                hint="a release that knew it enqueued the job; put it back, and `inv dead --replay`",
            )
        return origin


def worker_app(app: App, *, concurrency: int = CONCURRENCY, fifo: bool = False) -> App:
    """Make the app that performs the jobs of another one; its group is `<app>.jobs`, as its topic.

    Parameters
    ----------
    concurrency : jobs at the same time, each on another resource.
    fifo : one after the other instead, in the order of their partitions.

    Raises
    ------
    RoutingError : no route of the app enqueues.
    """
    origins = [route for route in app.routes if route.jobs is not None]
    if not origins:
        raise RoutingError(
            "no route of it has background jobs",
            where=app.name,
            hint="App(..., backend=JobsBackend()), and no inline_mode=True",
        )
    known = {(worker_name(route), route.topic): route for route in origins}
    declared: dict[str, TopicDeclaration] = {}
    for route in origins:
        for name in route.responder.table if route.responder else ():
            declared.setdefault(name, TopicDeclaration(name, required=False, multiple_usage=True))
    controller: type[Any] = type("JobController", (JobController,), {"origins": known})
    responder: type[Any] | None = type("JobResponder", (Responder,), {"topics": tuple(declared.values())})
    jobs = origins[0].jobs
    assert jobs is not None
    made = App(jobs.topic, client_id=app.client_id, topic_mapper=app.mapper)
    made.topic(
        jobs.topic,
        controller=controller,
        responder=responder if declared else None,
        concurrency=None if fifo else concurrency,
        dead_letter=origins[0].dead_letter,
        partitions=jobs.partitions,
    )
    return made
