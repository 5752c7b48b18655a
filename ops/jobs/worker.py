"""Workers: what performs a job, and which jobs exclude each other."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from ops.consumer.controller import Controller

if TYPE_CHECKING:
    from ops.consumer.route import Route

SCOPE = "uniqueness_scope"


class BaseWorker:
    """Base of all workers, and the worker of routes that name none: it performs what their controller does.

    Attributes
    ----------
    across_workers : jobs of this scope exclude those of other workers too, for several kinds of work on one resource.
        All workers that share it say so.
    controller : of the message that the job was made of; `respond_with` is the controller's.
    """

    across_workers: ClassVar[bool] = False

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    @property
    def params(self) -> Any:
        """What the route's interchanger made of the job's data."""
        return self.controller.params

    def perform(self) -> None:
        """Do the work."""
        self.controller.perform()

    def after_failure(self, error: Exception) -> None:
        """Learn that the job failed for good, just before it goes to the dead-letter topic."""
        self.controller.after_failure(error)

    def respond_with(self, *args: Any) -> None:
        """Hand `args` to the responder's `respond`."""
        self.controller.respond_with(*args)

    @staticmethod
    def unique_args(worker: str, params: Any) -> list[Any]:
        """Give what two jobs have in common that must not run at the same time.

        Without a scope it is a fresh id: such jobs exclude none.

        Parameters
        ----------
        worker : the name of the worker's class; of its controller's where a route names no worker. Empty for a worker
            with `across_workers`.
        """
        scope = params.get(SCOPE) if isinstance(params, dict) else None
        if scope is None:
            return [uuid.uuid4().hex]
        return [worker, scope] if worker else [scope]


def worker_of(route: Route) -> type[BaseWorker]:
    """Give the worker of a route."""
    return route.worker or BaseWorker


def worker_name(route: Route) -> str:
    """Give the name that jobs of a route carry."""
    return route.worker.__name__ if route.worker is not None else route.controller.__name__
