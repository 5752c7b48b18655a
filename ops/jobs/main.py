"""One worker process from the first line of log to its exit code."""

from __future__ import annotations

from ops.consumer.main import run_server
from ops.jobs.worker_app import worker_app


def run_worker(reference: str, concurrency: int, *, fifo: bool = False) -> int:
    """Load an app and perform its jobs until told to stop.

    Parameters
    ----------
    reference : `module:attribute` of the app whose jobs they are.
    concurrency, fifo : see `worker_app`.
    """
    return run_server(reference, made=lambda app: worker_app(app, concurrency=concurrency, fifo=fifo))
