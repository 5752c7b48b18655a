"""What the managers have in common: whatever goes wrong with a process is told in its report."""

from __future__ import annotations

from collections.abc import Callable

from ops.core.errors import OpsError
from ops.core.protocol import ProcessReport, ProcessSpec
from ops.node import inspection


def attempt(spec: ProcessSpec, work: Callable[[], ProcessReport]) -> ProcessReport:
    """Do some work on a process; what keeps it from being done becomes a report that is not ok."""
    try:
        return work()
    except OpsError as error:
        reason = str(error)
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        reason = f"nothing was done: {what}"
    return inspection.seen(spec, ok=False, message=reason)
