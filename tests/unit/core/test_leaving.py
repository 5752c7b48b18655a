"""A process that leaves at once loses nothing that `sys.exit` would have kept."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_BEFORE = """
import atexit, sys, threading, time
from ops.core.leaving import leave
atexit.register(lambda: print("exit handler"))
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
class Torn:
    def __del__(self): print("taken apart")
kept = Torn()
print("begun")
"""


@pytest.mark.parametrize("code", [0, 11])
def test_threads_exit_handlers_and_output_come_before_the_end(code: int) -> None:
    # Given a process with a thread at work, an exit handler, and output that is still buffered
    program = f"{_BEFORE}\nleave({code})"
    # When it leaves
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    # Then each has come to its end, in order, and nothing was taken apart
    assert done.stdout.split("\n") == ["begun", "thread", "exit handler", ""]
    assert (done.returncode, done.stderr) == (code, "")


def test_output_that_cannot_be_written_is_no_success() -> None:
    # Given a full disk under its output
    with Path("/dev/full").open("w") as full:
        # When it leaves with success
        done = subprocess.run([sys.executable, "-c", f"{_BEFORE}\nleave(0)"], stdout=full, timeout=30, check=False)
    # Then it does not say so
    assert done.returncode != 0
