"""Background jobs on Kafka: messages become jobs, and jobs on one resource never run at the same time.

Example
-------
    class RefreshWorker(BaseWorker):
        def perform(self):
            fetch(self.params["id"])

    app = App("sources", backend=JobsBackend())
    app.topic("sources_refresh", controller=SourcesRefreshController, worker=RefreshWorker)

The controller's `before_enqueue` sets `params["uniqueness_scope"]`; `python -m ops worker` performs the jobs.
"""

from ops.jobs.backend import JobsBackend
from ops.jobs.envelope import job_of
from ops.jobs.worker import BaseWorker
from ops.jobs.worker_app import worker_app

__all__ = ["BaseWorker", "JobsBackend", "job_of", "worker_app"]
