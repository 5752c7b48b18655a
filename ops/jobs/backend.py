"""The backend that turns messages into background jobs."""

from __future__ import annotations

from ops.consumer.controller import Controller
from ops.consumer.errors import NotSerializableError
from ops.consumer.message import Output
from ops.jobs.envelope import job_of

PARTITIONS = 12


class JobsBackend:
    """Enqueues what `before_enqueue` let pass: one message to `<app>.jobs`, keyed by what excludes jobs.

    Parameters
    ----------
    partitions : of the jobs topic that are used, and so how many worker processes can share the work. The topic must
        have that many; it is made where it is missing. Change it only while no job is queued: keys change their places.
    """

    def __init__(self, partitions: int = PARTITIONS) -> None:
        self.partitions = partitions

    def run(self, controller: Controller) -> list[Output]:
        """Give the message that enqueues it.

        Raises
        ------
        NotSerializableError : its params have no JSON form.
        """
        try:
            return [job_of(controller.route, params) for params in controller.params_batch]
        except (TypeError, ValueError) as error:
            raise NotSerializableError(
                f"its params have no JSON form: {error}",
                where=f"topic {controller.route.topic!r}",
                hint="draw the route with an interchanger",
            ) from None
