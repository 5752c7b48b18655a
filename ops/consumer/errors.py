"""One class for each thing a user of the framework can get wrong, or that can happen to a running consumer."""

from __future__ import annotations

from ops.core.errors import ExitCode, LockHeldError, OpsError, UnreachableError, UsageError


class ConsumerError(OpsError):
    """Base of what this package raises."""


class RoutingError(ConsumerError, UsageError):
    """A route that cannot be drawn."""


class InvalidNameError(RoutingError):
    r"""A topic or group name that does not match `[\w.-]+`."""


class DuplicateRouteError(RoutingError):
    """A topic that is routed twice in one app."""


class AppNotFoundError(RoutingError):
    """A `module:attribute` that names no app."""


class UnknownGroupError(RoutingError):
    """A group that no route of the app belongs to."""


class ParseError(ConsumerError):
    """A message that its route's parser cannot read."""


class ControllerError(ConsumerError):
    """A controller that asks for what it cannot have."""


class ResponderError(ConsumerError):
    """Base of the ways in which a responder breaks its contract."""


class ResponderMissingError(ResponderError):
    """`respond_with` in a controller whose route has no responder."""


class RespondNotDefinedError(ResponderError):
    """A responder without `respond`."""


class TopicDeclarationError(ResponderError, UsageError):
    """A responder's topic that is declared twice or wrongly."""


class UnregisteredTopicError(ResponderError):
    """A message for a topic that the responder does not declare."""


class NotSerializableError(ResponderError):
    """Data that has no JSON form."""


class TopicUsedTwiceError(ResponderError):
    """More than one message for a topic without `multiple_usage`; optional topics too."""


class TopicUnusedError(ResponderError):
    """No message for a required topic."""


class DeliveryError(ConsumerError):
    """A message that the cluster refuses for good (too large, unknown topic, not authorised)."""


class PoisonError(ConsumerError):
    """A message that ended each process which performed it."""


class MissingTopicError(ConsumerError, UsageError):
    """Topics that routes or responders name and the cluster does not have."""


class KafkaUnreachableError(ConsumerError, UnreachableError):
    """No broker answered within `connect_timeout_seconds`."""


class FencedError(ConsumerError, LockHeldError):
    """Another process has joined the group under this process's instance id; going on would repeat its work."""


class HandoverError(ConsumerError):
    """A replacement that did not get its slot."""

    exit_code = ExitCode.NOT_HANDED_OVER


class PollLoopError(ConsumerError):
    """A group's poll loop that ended by an error nobody foresaw."""


PERMANENT = (ParseError, ResponderError, ControllerError)
"""Failures that a repetition cannot mend: the message goes to the dead-letter topic at once."""
