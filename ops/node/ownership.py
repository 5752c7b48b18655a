"""To whom belongs what the agent makes below deploy_to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

Owner = Optional[tuple[int, int]]
"""User and group; None where what is made belongs to the right one already."""


def owner_below(root: Path) -> Owner:
    """Return to whom root gives what it makes below deploy_to: to who owns that.

    Raises
    ------
    OSError : deploy_to cannot be looked at.
    """
    if os.geteuid() != 0:
        return None
    there = root.stat()
    return (there.st_uid, there.st_gid) if there.st_uid != 0 else None
