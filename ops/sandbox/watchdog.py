"""`python -m ops.sandbox.watchdog PID START BOOT DIRECTORY`: a sandbox that must not outlive a process.

Waits until the process has ended, then ends the sandbox. It survives a kill -9 of that process, which is
what it is for; the sandbox's own end ends it too.
"""

from __future__ import annotations

import os
import select
import sys
from pathlib import Path

from ops.core.identity import Identity

STOP_SECONDS = 5.0
_LOOK_SECONDS = 5.0  # looked at again, lest an unreaped owner is waited for


def wait_for_end(owner: Identity) -> None:
    """Return once the process has ended."""
    while owner.alive():
        try:
            descriptor = os.pidfd_open(owner.pid)
        except ProcessLookupError:
            return
        try:
            select.select([descriptor], [], [], _LOOK_SECONDS)
        finally:
            os.close(descriptor)


def main(arguments: list[str]) -> None:
    """Guard one sandbox."""
    pid, start, boot, directory = arguments
    wait_for_end(Identity(int(pid), int(start), boot))
    from ops.sandbox.census import end_all  # not held in memory while waiting

    end_all(Path(directory), STOP_SECONDS)


if __name__ == "__main__":
    main(sys.argv[1:])
