"""What is for a process's next start alone: written before it by the agent, taken at it by what becomes the process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ops.core import envfile
from ops.core.handover import FRESH_VARIABLE


def leave(path: Path, groups: Sequence[str]) -> None:
    """Leave for the next start which groups it joins as a fresh member, in the place of what another one left.

    Raises
    ------
    OSError : it cannot be written, or the one before cannot be removed.
    """
    path.unlink(missing_ok=True)
    if groups:
        path.touch(0o600, exist_ok=False)
        path.write_text(f'{FRESH_VARIABLE}="{",".join(groups)}"\n')


def take(path: Path) -> dict[str, str]:
    """Return what was left for this start, and let it be there no more.

    Raises
    ------
    OSError : it cannot be removed.
    EnvFileError : it cannot be read, or others may.
    """
    found = envfile.read(path)
    path.unlink(missing_ok=True)
    return {name: value for name, value in found.items() if name == FRESH_VARIABLE}
