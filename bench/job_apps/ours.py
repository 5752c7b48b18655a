"""The app of the jobs bench."""

from __future__ import annotations

from notes import work

from ops.consumer import App, Controller
from ops.jobs import BaseWorker, JobsBackend

PARTITIONS = 8


class BenchController(Controller):
    """Takes what is to be done, and does it where the app is an inline one."""

    def perform(self) -> None:
        """Sleep and note it."""
        params = self.params
        work(params["uniqueness_scope"], params["number"], params["seconds"])


class BenchWorker(BaseWorker):
    """Does what its controller does."""


app = App("bench", backend=JobsBackend(PARTITIONS))
app.topic("work", controller=BenchController, worker=BenchWorker)
inline = App("bench")
inline.topic("work", controller=BenchController)
