"""rq on Redis: `RateLimit(key, 1)`, and a process a slot."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time

from notes import scope_of, work
from redis import Redis
from rq import Queue, RateLimit, SimpleWorker

connection = Redis.from_url(os.environ["BENCH_REDIS"])
queue = Queue("bench", connection=connection)
logging.disable(logging.CRITICAL)


def main() -> None:
    """Enqueue, start the workers, wait until the queue is empty."""
    jobs, resources, seconds, slots = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    locked, limit = sys.argv[5] == "locked", float(sys.argv[6])
    connection.flushdb()
    for n in range(jobs):
        scope = scope_of(n, resources)
        more = {"rate_limit": RateLimit(scope, 1)} if locked else {}
        queue.enqueue(work, scope, n, seconds, result_ttl=0, **more)
    argv = [sys.executable, __file__, "worker", str(jobs)]
    workers = [subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(slots)]
    deadline = time.monotonic() + limit
    notes = os.environ["BENCH_NOTES"]
    while time.monotonic() < deadline:
        if os.path.exists(notes):  # noqa: PTH110
            with open(notes) as file:  # noqa: PTH123
                if sum(1 for _ in file) >= jobs:
                    break
        time.sleep(0.2)
    for worker in workers:
        worker.kill()
        worker.wait()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        SimpleWorker([queue], connection=connection).work(logging_level="CRITICAL")
    else:
        main()
