"""What all releases share: linked_dirs and linked_files, kept in shared/ and linked into each release."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path


def link(release: Path, shared: Path, paths: Sequence[str]) -> None:
    """Link paths of a release to those of shared/; what the release itself has there makes way, as in Capistrano."""
    for path in paths:
        place = release / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
        place.symlink_to(os.path.relpath(shared / path, place.parent))


def make_dirs(shared: Path, paths: Sequence[str], files: Sequence[str]) -> None:
    """Make the folders in shared/ that links lead to, and those that linked files belong into."""
    for folder in (*paths, *(os.path.dirname(path) for path in files)):  # noqa: PTH120  text, not a place here
        (shared / folder).mkdir(parents=True, exist_ok=True)


def missing(shared: Path, files: Sequence[str]) -> tuple[str, ...]:
    """Give the linked files that shared/ does not have."""
    return tuple(path for path in files if not (shared / path).exists())
