"""Which host of the inventory a deploy_to belongs to: two of them that share one would take each other's for their own.

`fab karafka.setup` writes the name, else the first deploy does. What it says is a user's word, so it is read as such.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path

from ops.core.errors import OpsError
from ops.core.residence import way_out, what_is_shared

FILE = "karafka-ops-host.json"  # below shared/; as ops.fleet.setup.remote and ops.tasks.project have it
_LONGEST_BYTES = 1 << 12


def require(shared: Path, host: str) -> None:
    """Make sure that no other host lives here.

    Raises
    ------
    OpsError : one does, or did; it is named.
    """
    other = known(shared)
    if other not in ("", host):
        raise OpsError(what_is_shared(str(shared.parent), other, host), hint=way_out(other, host))


def claim(shared: Path, host: str, stage: str) -> None:
    """Write down which host lives here, where nobody has; of two at the same time one succeeds.

    Raises
    ------
    OpsError : another host was the first.
    """
    path = shared / FILE
    temporary = path.with_name(f".{FILE}.{host}.{os.getpid()}")
    with suppress(OSError):  # what keeps it from being written is in the way of the deploy, and said as such
        temporary.unlink(missing_ok=True)
        with temporary.open("x") as file:
            file.write(json.dumps({"host": host, "stage": stage}) + "\n")
        try:
            os.link(temporary, path)  # a network file system, too, lets one alone do so
        finally:
            temporary.unlink()
    require(shared, host)


def known(shared: Path) -> str:
    """Return the host that is written down; empty for none, or what is no record."""
    try:
        descriptor = os.open(shared / FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(descriptor, "rb") as file:  # noqa: PTH123
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        try:
            data = json.loads(file.read(_LONGEST_BYTES))
            return str(data["host"])
        except (OSError, ValueError, RecursionError, KeyError, TypeError):
            return ""
