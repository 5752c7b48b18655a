"""What each job of the jobs bench does, whoever runs it: sleep as long as it says, note when it began and ended.

Standard library alone: peers run it in a venv of their own.
"""

from __future__ import annotations

import os
import time

_FILE = (
    os.open(os.environ["BENCH_NOTES"], os.O_WRONLY | os.O_CREAT | os.O_APPEND) if "BENCH_NOTES" in os.environ else -1
)


def work(scope: str, number: int, seconds: float) -> None:
    """Do the work of one job."""
    began = time.monotonic()
    if seconds:
        time.sleep(seconds)
    os.write(_FILE, b"%s %d %.6f %.6f\n" % (scope.encode(), number, began, time.monotonic()))


def scope_of(number: int, resources: int) -> str:
    """Give the resource of a job: one of so many in turns, or without any one of its own."""
    return f"r{number % resources}" if resources else f"u{number}"
