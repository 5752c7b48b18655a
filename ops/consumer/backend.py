"""Backends: where a controller's `perform` happens."""

from __future__ import annotations

from typing import Protocol

from ops.consumer.controller import Controller
from ops.consumer.message import Output


class Backend(Protocol):
    """Takes a controller whose `before_enqueue` let the message pass.

    What it returns is delivered before the message's offset is committed: the responder's messages of a
    performed one, or the one message that makes it a job elsewhere.
    """

    @property
    def partitions(self) -> int:
        """How many partitions of the jobs topic it uses; 0 for a backend that enqueues nothing there."""

    def run(self, controller: Controller) -> list[Output]:
        """Perform or enqueue; any exception makes the message count as failed."""


class InlineBackend:
    """Performs at once, in the topic's thread."""

    partitions = 0

    def run(self, controller: Controller) -> list[Output]:
        """Perform, and give what the responder buffered."""
        controller.perform()
        return controller.outputs()
