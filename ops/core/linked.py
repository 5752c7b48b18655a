"""linked_dirs and linked_files: the paths below shared/ that each release is linked to, judged before anything is done.

What lies below a linked folder is there through that folder's link and gets none of its own: that one would have to be
made in shared/, in the place of what everybody shares. The order of the lists says nothing, nor does what comes twice.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from ops.core.records import dataclass

DIRS, FILES = "linked_dirs", "linked_files"
REVISION = "REVISION"
"""The file in each release that says which commit it is of."""


@dataclass(frozen=True)
class Linked:
    """One link of a release.

    Attributes
    ----------
    key : the setting it is of.
    path : below the release and below shared/ alike.
    """

    key: str
    path: str


class LinkedError(ValueError):
    """What cannot be linked; `key` is the setting with the index in it, `what` names the other one too."""

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"{key}: {what}")
        self.key = key
        self.what = what


def links(dirs: Sequence[str], files: Sequence[str]) -> tuple[Linked, ...]:
    """Give the links that a release gets: none of them lies below another one.

    Raises
    ------
    LinkedError : a path is none below shared/, or is to be a folder and a file at once.
    """
    both = {DIRS: dirs, FILES: files}
    for key, paths in both.items():
        for index, path in enumerate(paths):
            if what := _trouble(key, path, dirs, files):
                raise LinkedError(f"{key}[{index}]", what)
    all_of_them = dict.fromkeys(Linked(key, path) for key, paths in both.items() for path in paths)
    return tuple(one for one in all_of_them if not {*_above(one.path)} & {*dirs})


def _trouble(key: str, path: str, dirs: Sequence[str], files: Sequence[str]) -> str:
    """Say what is wrong with one path; empty for nothing."""
    if path.startswith("/") or {"..", "", "."} & {*path.split("/")} or not path.isprintable():
        plain = posixpath.normpath(path)
        fits = path and plain.isprintable() and not plain.startswith("/") and plain.split("/")[0] not in (".", "..")
        return f"expected paths below shared/, written as {plain if fits else 'tmp/cache'!r}, got {path!r}"
    if path.startswith("~"):
        return f"expected paths below shared/, and nobody's home is there: {path!r}"
    if path == REVISION:
        return f"each release has a {REVISION} of its own"
    if key == FILES and path in dirs:
        return f"{path!r} stands in {DIRS}, too: it is a folder or a file"
    for file in files:
        if file in _above(path):
            return f"{path!r} lies below {file!r}, which is a file by {FILES}"
    return ""


def _above(path: str) -> list[str]:
    """Give the folders that a path lies below."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]
