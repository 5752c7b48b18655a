"""What can be wrong with a job; none of it is mended by a repetition."""

from __future__ import annotations

from ops.consumer.errors import ControllerError


class MalformedJobError(ControllerError):
    """A message of the jobs topic that is no job."""


class UnknownWorkerError(ControllerError):
    """A job for a worker that no route of the app has (any more)."""
