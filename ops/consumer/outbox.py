"""The way out: messages are sent at once and acknowledged later, all in-sync replicas having them."""

from __future__ import annotations

from typing import Protocol

from ops.consumer.message import Output


class Receipt(Protocol):
    """What became of one sent message; kafka-python's future is one."""

    @property
    def is_done(self) -> bool:
        """Whether it is settled."""

    @property
    def exception(self) -> BaseException | None:
        """Why it failed; None while it is not settled, and when it was acknowledged."""


class Outbox(Protocol):
    """Sends messages; `send` never raises for what the cluster says, the receipt tells."""

    def send(self, output: Output) -> Receipt:
        """Send one message, not waiting for it."""

    def send_apart(self, output: Output) -> Receipt:
        """Send one message again that failed, so that its failure is its own and nobody else's."""

    def wait(self, receipt: Receipt, timeout_seconds: float) -> bool:
        """Wait for one receipt; False when the time is over first."""

    def transient(self, error: BaseException) -> bool:
        """Whether the same message may get through later."""


class Refusal:
    """The receipt of a message that was refused before it left."""

    is_done = True

    def __init__(self, exception: BaseException) -> None:
        self.exception: BaseException | None = exception
