"""Where output goes: a terminal gets colours and a live table, everything else plain lines."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO


def is_terminal(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a stream is a terminal, or is to be treated like one.

    TTY_COMPATIBLE decides where it is set, as rich has it; a dumb terminal is none. NO_COLOR (no-color.org) is left to
    rich: a table without colours is still a table.
    """
    if environ.get("TTY_COMPATIBLE") in ("0", "1"):
        return environ["TTY_COMPATIBLE"] == "1"
    return stream.isatty() and environ.get("TERM") not in ("dumb", "unknown")
