"""A command as one line that every log-in shell reads the same: sh, bash, dash, zsh, csh, tcsh, fish.

Their quotes differ: csh ends a line at a newline within quotes and takes `!` out of the history, fish has escapes of
its own. So no such character is sent. What is not plain goes to /bin/sh as octal escapes, and /bin/sh puts it together.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_PLAIN = re.compile(r"[A-Za-z0-9_./:,+-]+")
_ESCAPES = {byte: f"\\0{byte:03o}" for byte in range(256) if not _PLAIN.fullmatch(chr(byte))}
_SHELL = ("/bin/sh", "-c")
_DECODE = 'eval "$(printf %b "$0")"'


def line_of(command: Sequence[str]) -> str:
    """Return a command line that runs this argv, whatever the host's log-in shell is."""
    if all(_PLAIN.fullmatch(word) for word in command):
        return " ".join(command)
    if tuple(command[:2]) == _SHELL and command[3:]:  # which reads this in any case: a host need not start another one
        _, _, script, _, *words = command
        text = f"set -- {shlex.join(words)}\n{script}"
    else:
        text = f"exec {shlex.join(command)}"
    encoded = text.encode(errors="surrogateescape").decode("latin-1").translate(_ESCAPES)
    return f"/bin/sh -c '{_DECODE}' '{encoded}'"
