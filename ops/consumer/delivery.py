"""What was sent and is not acknowledged yet; only what is acknowledged lets an offset be reported."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ops.consumer.dead_letter import dead_letter, omitted
from ops.consumer.errors import DeliveryError
from ops.consumer.message import Message, Output
from ops.consumer.outbox import Outbox, Receipt
from ops.consumer.performer import place
from ops.consumer.route import Route

log = logging.getLogger(__name__)

_LOG_EVERY_SECONDS = 5.0
_RESEND_SECONDS = 1.0


@dataclass
class Sent:
    """A part of a batch: everything of these partitions before these offsets is performed, and this was sent for it."""

    epoch: int
    offsets: dict[Any, int] = field(default_factory=dict)
    items: list[tuple[Sequence[Message], Output, Receipt]] = field(default_factory=list)


class Delivery:
    """Sees to it that what was sent arrives.

    An outage of the brokers is waited out, with a log line every few seconds. A message that the cluster refuses
    for good makes its cause a dead letter; a dead letter that is refused goes again without its value.

    Parameters
    ----------
    route : the topic's.
    outbox : the way out.
    report : called with each part that has arrived.
    abandoned : whether an epoch's work is somebody else's by now.

    Attributes
    ----------
    refused : messages that became dead letters because their output was refused.
    """

    def __init__(
        self, route: Route, outbox: Outbox, report: Callable[[Sent], None], abandoned: Callable[[int], bool]
    ) -> None:
        self.refused = 0
        self._route = route
        self._outbox = outbox
        self._report = report
        self._abandoned = abandoned
        self._parts: deque[Sent] = deque()

    def send(self, part: Sent, cause: Sequence[Message], outputs: Sequence[Output]) -> None:
        """Put messages on their way as a part's."""
        send, items = self._outbox.send, part.items
        for output in outputs:
            items.append((cause, output, send(output)))

    def add(self, part: Sent) -> None:
        """Take a part that is complete."""
        self._parts.append(part)

    def settle(self, keep: int = 0) -> None:
        """Wait for the oldest parts until at most `keep` are on their way; abandoned ones are dropped."""
        while len(self._parts) > keep:
            part = self._parts[0]
            buried: set[tuple[int, int]] = set()
            if all(self._arrived(part.epoch, *item, buried) for item in part.items):
                self._report(part)
            self._parts.popleft()

    def _arrived(
        self, epoch: int, cause: Sequence[Message], output: Output, receipt: Receipt, buried: set[tuple[int, int]]
    ) -> bool:
        """Wait for one message, sending it anew where that helps; False when the epoch is abandoned."""
        if receipt.is_done and receipt.exception is None:
            return True
        outbox = self._outbox
        is_letter = output.topic == self._route.dead_letter_topic
        apart = False
        began = time.monotonic()
        while not self._abandoned(epoch):
            if not outbox.wait(receipt, _LOG_EVERY_SECONDS):
                log.warning(
                    "%s: its message to %s waits for the brokers since %.0f s",
                    place(cause[-1]), output.topic, time.monotonic() - began,
                )  # fmt: skip
                continue
            error = receipt.exception
            if error is None:
                return True
            if apart and not outbox.transient(error):
                if not is_letter:
                    return self._bury(epoch, cause, output, error, buried)
                output = omitted(output) if output.value else output
            log.warning("%s: its message to %s is sent anew: %s", place(cause[-1]), output.topic, error)
            if apart or outbox.transient(error):
                time.sleep(_RESEND_SECONDS)
            receipt = outbox.send_apart(output)
            apart = True
        return False

    def _bury(
        self, epoch: int, cause: Sequence[Message], output: Output, refusal: BaseException, buried: set[tuple[int, int]]
    ) -> bool:
        """Send the dead letters of what a refused message was sent for, and wait for them."""
        size = len(output.value or b"")
        error = DeliveryError(f"its message of {size} bytes to {output.topic} was refused: {refusal}")
        for message in cause:
            at = message.partition, message.offset
            if at in buried:
                continue
            buried.add(at)
            self.refused += 1
            letter = dead_letter(self._route, message, error, 1)
            log.error("%s: dead-lettered to %s: %s", place(message), letter.topic, error)
            if not self._arrived(epoch, (message,), letter, self._outbox.send(letter), buried):
                return False
        return True
