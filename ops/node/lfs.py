"""Git LFS: files that a repository has elsewhere, and in whose place it has a pointer of three lines."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from ops.core.errors import OpsError
from ops.node.archive_paths import shown_name

# As git-lfs reads them: its earlier versions' addresses, too, empty lines, and lines that end in CR LF
_POINTER = rb"\s*version https?://[^\n]{1,100}/(spec|v)/[^\n]{1,20}\n(.{0,400}\n)*?oid sha256:[0-9a-f]{64}\r?\n"
_LONGEST_BYTES = 1024  # as its specification has it


def options() -> tuple[str, ...]:
    """Give git's options by which an archive has the files themselves; the pointers where there is no git-lfs."""
    there = shutil.which("git-lfs") is not None
    values = {
        "smudge": "git-lfs smudge -- %f" if there else "",
        "process": "git-lfs filter-process" if there else "",
        "required": "true" if there else "false",
    }
    return tuple(word for name, value in values.items() for word in ("-c", f"filter.lfs.{name}={value}"))


def require_none(release: Path, hint: str) -> None:
    """Make sure that no pointer has come instead of a file.

    Raises
    ------
    OpsError : one has; it is named.
    """
    found = [path for path in _small(release) if _is_pointer(path)]
    if found:
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        name = shown_name(os.fsencode(min(Path(path).relative_to(release) for path in found)))
        raise OpsError(f"{name}{more} came as a pointer of Git LFS, without its content", hint=hint)


def _small(release: Path) -> Iterator[str]:
    """Find the files that may be one; by their entries, as a release may have very many."""
    folders = [str(release)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file(follow_symlinks=False) and entry.stat().st_size <= _LONGEST_BYTES:
                    yield entry.path


def _is_pointer(path: str) -> bool:
    with open(path, "rb") as file:  # noqa: PTH123
        data = file.read()
    return b"\noid sha256:" in data and re.match(_POINTER, data) is not None
