"""What a hardened unit keeps a process from, known by what it says as it fails, with the drop-in that allows it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ops.core.keeping import Keeping

_REFUSALS = (
    (
        re.compile(r"EAFNOSUPPORT|Address family not supported", re.IGNORECASE),
        "its unit allows it AF_INET, AF_INET6 and AF_UNIX alone, and what lists network interfaces needs AF_NETLINK",
        "RestrictAddressFamilies=AF_NETLINK",
    ),
    (
        re.compile(r"EROFS|Read-only file system", re.IGNORECASE),
        "its unit lets it write below its own folders alone",
        "ReadWritePaths=FOLDER",
    ),
    (
        re.compile(r"EPERM|Operation not permitted|Bad system call", re.IGNORECASE),
        "its unit refuses system calls that need privileges",
        "SystemCallFilter=CALL",
    ),
)


def hint(kept: Keeping, lines: Sequence[str]) -> str:
    """Say which of a unit's restrictions may be the reason, and how it is lifted; empty for none.

    Parameters
    ----------
    lines : what the process said last.
    """
    text = "\n".join(lines)
    for pattern, why, directive in _REFUSALS:
        if pattern.search(text):
            scope = "--user " if kept.scope == "user" else ""
            return f"perhaps {why}: systemctl {scope}edit {kept.template} with [Service] {directive} in it"
    return ""
