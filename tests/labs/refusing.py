"""Commands on a kernel that refuses a system call, as an old one does, or a container's filter."""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = Path(__file__).with_name("programs") / "refused.py"


def refusing(call: str, error: str, *command: str) -> list[str]:
    """Return the argv that runs a command whose calls of one name fail: `refusing("pidfd_open", "EPERM", "true")`."""
    return [sys.executable, str(_PROGRAM), call, error, "--", *command]
