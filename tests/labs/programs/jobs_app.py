"""The app under test: its jobs note on a monotonic clock when they begin and end, and do what their params say."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ops.consumer import App, Controller, Responder, topic
from ops.jobs import BaseWorker, JobsBackend

NOTES = os.open(os.environ["TEST_NOTES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def note(what: str, params: dict[str, Any]) -> None:
    """Write one line at once, so that nothing of it is lost when this process is killed."""
    facts = {"what": what, "key": params["key"], "n": params["n"], "pid": os.getpid(), "at": time.monotonic()}
    os.write(NOTES, json.dumps(facts).encode() + b"\n")


class WorkController(Controller):
    """Takes what is to be done."""

    def before_enqueue(self) -> None:
        self.params["uniqueness_scope"] = self.params["key"]


class WorkResponder(Responder):
    topics = (topic(f"{os.environ['TEST_APP']}-out", optional=True),)

    def respond(self, params: dict[str, Any]) -> None:
        self.respond_to(f"{os.environ['TEST_APP']}-out", params, key=params["key"])


class WorkWorker(BaseWorker):
    """`seconds` it takes, `die` ends the process, `fail` raises, `wait` is a file that it waits for."""

    def perform(self) -> None:
        params = self.params
        note("begin", params)
        if params.get("die"):
            os._exit(9)
        if params.get("fail"):
            note("failed", params)
            raise RuntimeError("asked to fail")
        while "wait" in params and not Path(params["wait"]).exists():
            time.sleep(0.01)
        time.sleep(params.get("seconds", 0.0))
        if params.get("answer"):
            self.respond_with(params)
        note("end", params)

    def after_failure(self, error: Exception) -> None:
        note(f"gave up: {type(error).__name__}", self.params)


app = App(os.environ["TEST_APP"], backend=JobsBackend(int(os.environ.get("TEST_PARTITIONS", "4"))))
app.topic(f"{os.environ['TEST_APP']}-in", controller=WorkController, worker=WorkWorker)
