"""huey on Redis: `lock_task`, which refuses a job whose lock is taken, so that it is tried again until it got it."""

from __future__ import annotations

import logging
import os
import sys
import threading

from huey import RedisHuey
from notes import scope_of, work

jobs, resources, seconds, slots = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
locked = sys.argv[5] == "locked"
logging.disable(logging.CRITICAL)
huey = RedisHuey("bench", url=os.environ["BENCH_REDIS"], results=False)
left = jobs
ended = threading.Event()
counting = threading.Lock()


@huey.task(retries=1_000_000, retry_delay=0)
def job(scope: str, number: int) -> None:
    """Do it, under the lock of its resource."""
    global left
    if locked:
        with huey.lock_task(scope):
            work(scope, number, seconds)
    else:
        work(scope, number, seconds)
    with counting:
        left -= 1
        if not left:
            ended.set()


huey.flush()
for n in range(jobs):
    job(scope_of(n, resources), n)
consumer = huey.create_consumer(workers=slots, worker_type="thread", periodic=False, check_worker_health=False)
consumer.start()
ended.wait(float(sys.argv[6]))
os._exit(0)
