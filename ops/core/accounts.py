"""Who runs this, and where a path below a home leads: also for a number without an account, as containers have it."""

from __future__ import annotations

import os
import pwd
from functools import lru_cache
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
    return _home_path(name, os.environ.get("HOME")) if name.startswith("~") else name


@lru_cache(256)
def _home_path(name: str, _: str | None) -> str:
    """Return it; the operator asks for the same paths for each host of a fleet."""
    try:
        return str(Path(name).expanduser())
    except RuntimeError:
        return name
