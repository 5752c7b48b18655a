"""The app under test: its topics and what it does come from the environment and from the messages."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ops.consumer import App, Controller, Responder, topic

SOURCE = os.environ["TEST_SOURCE"]
TARGET = os.environ["TEST_TARGET"]
WORK_SECONDS = float(os.environ.get("TEST_WORK_SECONDS", "0"))


class RelayController(Controller):
    """Sends on what it gets: `fail` raises, `twice` breaks the contract, `blob` sends that many bytes, `hold` waits."""

    def perform(self) -> None:
        message = self.params
        if message.get("fail"):
            raise RuntimeError("asked to fail")
        if "hold" in message:
            Path(message["hold"] + ".in").touch()
            while not Path(message["hold"]).exists():
                time.sleep(0.005)
        time.sleep(WORK_SECONDS)
        if "blob" in message:
            self.respond_with("x" * message["blob"])
        elif message.get("echo"):
            self.respond_with(json.dumps(message))
        else:
            self.respond_with({"sequence": message["sequence"], "pid": os.getpid()})
        if message.get("twice"):
            self.respond_with({})


class RelayResponder(Responder):
    topics = (topic(TARGET),)

    def respond(self, data: Any) -> None:
        self.respond_to(TARGET, data)


app = App(os.environ["TEST_APP"])
app.topic(SOURCE, controller=RelayController, start_from_beginning=os.environ.get("TEST_FROM") != "end")
if "TEST_SECOND" in os.environ:
    app.topic(
        os.environ["TEST_SECOND"],
        controller=RelayController,
        responder=RelayResponder,
        start_from_beginning=os.environ.get("TEST_FROM") != "end",
    )
