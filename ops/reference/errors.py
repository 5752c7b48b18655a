"""What can go wrong in the reference apps, beside the framework's own errors."""

from __future__ import annotations

from ops.consumer.errors import ControllerError
from ops.core.errors import OpsError


class MalformedMessageError(ControllerError):
    """A message that is JSON but not what its topic carries; a repetition cannot mend it."""


class RemoteError(OpsError):
    """A remote system that did not answer, or answered what nobody asked; worth another try."""


class DatabaseError(OpsError):
    """A database that kept refusing until the deadline."""
