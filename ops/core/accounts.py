"""Who runs this, and where a path below a home leads: also for a number without an account, as containers have it."""

from __future__ import annotations

import os
import pwd
from pathlib import Path


def user_name() -> str:
    """Return the name of whoever runs this: the account's, else what the environment says, else the number."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return os.environ.get("LOGNAME") or os.environ.get("USER") or str(os.getuid())


def has_account() -> bool:
    """Whether the user's number is one that this machine has a name for."""
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        return False
    return True


def home_path(name: str) -> str:
    """Return a path with the home folder in the place of `~`; of a user who is not there, or has none, as it is."""
    try:
        return str(Path(name).expanduser()) if name.startswith("~") else name
    except RuntimeError:
        return name
