"""What TERM, HUP and Ctrl-C do to a command that has something to clear up."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager

from ops.core.interrupts import handling, interrupt


def signals_interrupt() -> AbstractContextManager[None]:
    """Let TERM and HUP end this process as Ctrl-C does, so that it clears up."""
    return handling(interrupt, (signal.SIGTERM, signal.SIGHUP))


def uninterrupted() -> AbstractContextManager[None]:
    """Let a second Ctrl-C wait until the first one's clearing up is done, in commands that do it as well."""
    return handling(signal.SIG_IGN)
