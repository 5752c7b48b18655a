"""procrastinate on Postgres: `lock=`, which keeps a lock's jobs in order."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

import procrastinate
from notes import scope_of, work

jobs, resources, seconds, slots = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
locked = sys.argv[5] == "locked"
logging.disable(logging.CRITICAL)
app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ["BENCH_POSTGRES"], min_size=4, max_size=slots + 4)
)


@app.task(name="job")
def job(scope: str, number: int) -> None:
    """Do it."""
    work(scope, number, seconds)


async def main() -> None:
    """Enqueue, then work until the queue is empty."""
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for begin in range(0, jobs, 500):
            for n in range(begin, min(jobs, begin + 500)):
                scope = scope_of(n, resources)
                await job.configure(lock=scope if locked else None).defer_async(scope=scope, number=n)
        await asyncio.wait_for(
            app.run_worker_async(concurrency=slots, wait=False, install_signal_handlers=False, delete_jobs="always"),
            float(sys.argv[6]),
        )


try:
    asyncio.run(main())
except TimeoutError:
    os._exit(0)
