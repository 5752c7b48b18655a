"""How a process ends at once: while it goes, its successor waits for its place."""

from __future__ import annotations

import atexit
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_UNFLUSHED = 120  # as Python itself says it


def leave(code: int) -> NoReturn:
    """End this process after its threads and exit handlers, as `sys.exit` does, but leave its memory to the kernel.

    Taking an interpreter apart that has loaded kafka-python takes 60 ms (measured).
    """
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = _UNFLUSHED
    os._exit(code)
