"""The same with ops.consumer: a route, a controller and a responder with one topic; or a hundred topics at rest."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from ops.consumer import App, Controller, Responder, topic
from ops.consumer.server import Server

TARGET = os.environ.get("BENCH_TARGET", "nowhere")


class BenchController(Controller):
    """Sends on what it gets."""

    def perform(self) -> None:
        """Send it."""
        self.respond_with(self.params)


class BenchResponder(Responder):
    """Sends to the one topic."""

    topics = (topic(TARGET),)

    def respond(self, params: Any) -> None:
        """Send it."""
        self.respond_to(TARGET, params)


class IdleController(Controller):
    """Does nothing."""

    def perform(self) -> None:
        """Do nothing."""


logging.basicConfig(level=logging.WARNING)
if "BENCH_TOPICS" in os.environ:
    app = App("idle")
    for name in os.environ["BENCH_TOPICS"].split(","):
        app.topic(name, controller=IdleController)
else:
    app = App(os.environ["BENCH_GROUP"])
    app.topic(os.environ["BENCH_SOURCE"], controller=BenchController)
sys.exit(int(Server(app).run()))
