"""Controllers: what an app does with one message.

Example
-------
    class UsersCreateController(Controller):
        def before_enqueue(self):
            if "id" not in self.params:
                raise Halt("no id")

        def perform(self):
            self.respond_with(self.params)
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ops.consumer.errors import ControllerError, ResponderMissingError
from ops.consumer.message import Message, Output

if TYPE_CHECKING:
    from ops.consumer.responder import Responder
    from ops.consumer.route import Route

log = logging.getLogger(__name__)


class Halt(Exception):  # noqa: N818 - a decision, no error
    """Raised in `before_enqueue`: this message is not performed and counts as done."""


class Controller:
    """Base of all controllers; one object a message, or a batch of them in `batch_mode`.

    Attributes
    ----------
    route : the route that the message came by.
    messages : what was read: one message, or the batch's.
    refusals : how often it said that its work came too late.
    """

    refusals = 0

    def __init__(self, route: Route, messages: Sequence[Message], params: Sequence[Any]) -> None:
        self.route = route
        self.messages = messages
        self._params = params
        self._responder: Responder | None = None

    @property
    def params(self) -> Any:
        """What the parser made of the message.

        Raises
        ------
        ControllerError : the route is in batch_mode.
        """
        if self.route.batch_mode:
            raise ControllerError("params is one message's", where=self._name, hint="batch_mode: use params_batch")
        return self._params[0]

    @property
    def params_batch(self) -> Sequence[Any]:
        """What the parser made of each message of the batch."""
        return self._params

    @property
    def message(self) -> Message:
        """The message itself: topic, partition, offset, key, value, headers (of a batch: the last one)."""
        return self.messages[-1]

    def before_enqueue(self) -> None:
        """Look at the message before it is performed or enqueued; raise `Halt` to leave it at that."""

    def perform(self) -> None:
        """Do the work."""
        raise ControllerError("it does not define perform(self)", where=self._name)

    def after_failure(self, error: Exception) -> None:
        """Learn that the message failed for good, just before it goes to the dead-letter topic."""

    def refuse(self, reason: str) -> None:
        """Say that what was done came too late to count, as somebody else has taken over; the status counts it."""
        self.refusals += 1
        log.warning("%s: refused: %s", self._name, reason)

    def respond_with(self, *args: Any) -> None:
        """Hand `args` to the responder's `respond`.

        Raises
        ------
        ResponderMissingError : the route has no responder.
        """
        if self._responder is None:
            self._responder = self._make_responder(required=True)
        assert self._responder is not None
        self._responder.respond(*args)

    def outputs(self) -> list[Output]:
        """Give what is to be sent, checked against the responder's declarations as a whole.

        Raises
        ------
        ResponderError : the responder broke its contract.
        """
        responder = self._responder or self._make_responder(required=False)
        return responder.outputs() if responder else []

    def fail(self, error: Exception) -> list[Output]:
        """Forget what was buffered, call `after_failure`, give what that one sent."""
        self.forget()
        self.after_failure(error)
        return self.buffered()

    def forget(self) -> None:
        """Forget what was buffered."""
        self._responder = None

    def buffered(self) -> list[Output]:
        """Give what was buffered so far, unchecked."""
        return self._responder.buffered() if self._responder else []

    def _make_responder(self, *, required: bool) -> Responder | None:
        responder = self.route.responder
        if responder is not None:
            return responder(self.route.mapper)
        if required:
            raise ResponderMissingError(
                "respond_with needs a responder",
                where=self._name,
                hint=f"define {self._name.removesuffix('Controller')}Responder beside it, or draw the route with one",
            )
        return None

    @property
    def _name(self) -> str:
        return type(self).__qualname__
