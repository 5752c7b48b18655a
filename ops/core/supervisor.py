"""What supervisor's programs, the wrapper in them and the agent beside them agree on: files, and who waits how long."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

GIVE_UP_SECONDS: Final = 5.0
"""How long a process that was never ready may take to end after TERM."""
KILL_SECONDS: Final = 5.0
"""How long the kernel may take to end a process after KILL."""


def env_file(shared: str, process: str) -> str:
    """Give the env file of a process: what the settings say of its environment.

    A place of its own: while processes are migrated, systemd's are there, too, and say something else.
    """
    return str(PurePosixPath(shared) / "programs" / f"{process}.env")


def start_seconds(start_timeout_seconds: float) -> float:
    """Give how long a wrapper may take until its process is ready, or ended because it was not."""
    return start_timeout_seconds + GIVE_UP_SECONDS + KILL_SECONDS


def stop_seconds(stop_timeout_seconds: float) -> float:
    """Give how long a wrapper may take from TERM until its process has ended, killed if need be."""
    return stop_timeout_seconds + KILL_SECONDS


def programs_in(conf: str) -> frozenset[str]:
    """Give the names of the programs of a conf file."""
    return frozenset(re.findall(r"^\[program:([^\]\n]+)\]", conf, re.MULTILINE))


def enabled_in(conf: str) -> bool:
    """Whether the programs of a conf file start with supervisord."""
    return re.search(r"^autostart\s*=\s*true\s*$", conf, re.MULTILINE) is not None
