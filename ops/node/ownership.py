"""To whom belongs what the agent makes below deploy_to."""

from __future__ import annotations

import os
from pathlib import Path


def owner_below(root: Path) -> tuple[int, int] | None:
    """Return to whom root gives what it makes below deploy_to: user and group; None for the right one already.

    Raises
    ------
    OSError : deploy_to cannot be looked at.
    """
    if os.geteuid() != 0:
        return None
    there = root.stat()
    return (there.st_uid, there.st_gid) if there.st_uid != 0 else None
