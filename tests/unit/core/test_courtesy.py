"""The tool's own work comes after the consumers', and what it starts does not."""

from __future__ import annotations

import subprocess
import sys

from tests.labs.parts import AUTOGROUP, needs

SCRIPT = """
import subprocess, sys
from ops.core.courtesy import yield_cpu
yield_cpu()
print(open("/proc/self/autogroup").read(), end="", flush=True)
subprocess.run(["cat", "/proc/self/autogroup"], start_new_session=True, check=True)
"""


@needs(AUTOGROUP)
def test_a_session_yields_and_those_it_starts_do_not() -> None:
    # Given an agent in a session of its own, as sshd gives it one
    argv = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True, start_new_session=True)
    # Then its session comes after others, and one that it starts has its full share
    own, started = done.stdout.split("\n")[:2]
    assert own.endswith("nice 10"), done
    assert started.endswith("nice 0")
    assert own.split()[0] != started.split()[0]
