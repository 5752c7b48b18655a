"""The app whose rollouts are measured: it works 40 ms on a batch, then answers each message of it."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from ops.consumer import App, Controller, Responder, topic

GROUP = os.environ["BENCH_GROUP"]
WORK_SECONDS = 0.04


class RelayController(Controller):
    """Waits as long as the work takes, whatever the batch's size."""

    def perform(self) -> None:
        """Work, and answer with each message's number and partition."""
        time.sleep(WORK_SECONDS)
        self.respond_with(
            [
                {"stream": params["stream"], "sequence": params["sequence"], "partition": message.partition}
                for message, params in zip(self.messages, self.params_batch, strict=True)
            ]
        )


class RelayResponder(Responder):
    """Sends the answers."""

    topics = (topic(f"{GROUP}-out", multiple_usage=True),)

    def respond(self, answers: Sequence[dict[str, Any]]) -> None:
        """Send each."""
        for answer in answers:
            self.respond_to(f"{GROUP}-out", answer)


app = App(GROUP)
app.topic(f"{GROUP}-in", controller=RelayController, batch_mode=True, start_from_beginning=True)
