"""What is written down of deploys on this host: revisions.log as Capistrano has it, and an audit log of every step."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

from ops.core.lease import Fence
from ops.core.masking import SECRETS
from ops.core.plain import cell
from ops.core.regular import opened
from ops.core.release import DeployCall

REVISIONS = "revisions.log"
AUDIT = "log/karafka-audit.log"  # below shared/


def revision_line(call: DeployCall) -> str:
    """Say what was deployed, in Capistrano's words."""
    if call.leaving:
        return f"{call.performer} rolled back to release {call.release}"
    return f"Branch {call.branch} (at {call.revision}) deployed as release {call.release} by {call.performer}"


def log_revision(root: Path, line: str) -> None:
    """Add a line to revisions.log."""
    _append(root / REVISIONS, cell(line))


def note(
    shared: Path,
    call: DeployCall,
    fence: Fence | None,
    took_seconds: float,
    trouble: str,
    remarks: Sequence[str] = (),
) -> None:
    """Add a step to the audit log; one that cannot be added changes nothing about what was done."""
    record = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "action": str(call.action),
        "release": call.release,
        "revision": call.revision,
        "performer": call.performer,
        "holder": fence.holder if fence else "",
        "lease": fence.number if fence else 0,
        "seconds": round(took_seconds, 3),
        **({"hook": call.name} if call.name else {}),
        **({"error": trouble.splitlines()[0]} if trouble else {}),
        **({"remarks": list(remarks)} if remarks else {}),
    }
    try:
        _append(shared / AUDIT, json.dumps(SECRETS.hidden(record)))
    except OSError:
        return


def _append(path: Path, line: str) -> None:
    """Add one line whole: O_APPEND, one write."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = opened(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)
