"""Removes a folder with all that is in it, as far as this user can; what cannot be removed is told, not raised.

What releases are left with: files that root wrote (`__pycache__`), `.nfs*` of files that are open, immutable ones. What
is mounted there is somebody's data and left alone. Links are not followed, whatever changes meanwhile.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from ops.node.archive_paths import shown_name

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PLACE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 300  # folders below each other: each takes a descriptor while what is in it goes


def remove(path: Path) -> str:
    """Remove a file or folder.

    Returns
    -------
    What is left of it, in words; empty for nothing.
    """
    try:
        parent = os.open(path.parent, _FOLDER & ~os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path.parent}: {error.strerror}"
    try:
        removal = _Removal(_mount_of(parent))
        removal.remove(os.fsencode(path.name), parent, ())
    finally:
        os.close(parent)
    return removal.text()


class _Removal:
    def __init__(self, mount: bytes) -> None:
        self._first = ""
        self._count = 0
        self._mount = mount

    def text(self) -> str:
        """Say what is left."""
        return f"{self._first}, and {self._count - 1} more" if self._count > 1 else self._first

    def remove(self, name: bytes, parent: int, above: tuple[bytes, ...]) -> bool:
        """Remove an entry of a folder; False where something of it is left."""
        path = (*above, name)
        try:
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                return self._folder(name, parent, path)
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            return True
        except OSError as error:
            return self._left(path, error.strerror or str(error))
        return True

    def _folder(self, name: bytes, parent: int, path: tuple[bytes, ...]) -> bool:
        if len(path) > _DEEPEST:
            return self._left(path, f"it lies below more than {_DEEPEST} folders")
        folder = self._open(name, parent)
        try:
            if _mount_of(folder) != self._mount:
                return self._left(path, "something is mounted there")
            whole = True
            for entry in os.listdir(folder):  # noqa: PTH208  by its descriptor
                whole = self.remove(os.fsencode(entry), folder, path) and whole
        finally:
            os.close(folder)
        if whole:
            os.rmdir(name, dir_fd=parent)
        return whole

    def _open(self, name: bytes, parent: int) -> int:
        """Open a folder; one of ours that is read-only is made writable."""
        place = os.open(name, _PLACE, dir_fd=parent)
        try:
            said = os.fstat(place)
            if said.st_uid == os.geteuid() and said.st_mode & stat.S_IRWXU != stat.S_IRWXU:
                with suppress(OSError):  # what is in it may go all the same
                    Path(f"/proc/self/fd/{place}").chmod(said.st_mode | stat.S_IRWXU)
        finally:
            os.close(place)
        return os.open(name, _FOLDER, dir_fd=parent)

    def _left(self, path: tuple[bytes, ...], why: str) -> bool:
        """Note what is left, and why; gives False."""
        self._count += 1
        if not self._first:
            self._first = f"{shown_name(b'/'.join(path[1:] or path))}: {why}"
        return False


def _mount_of(folder: int) -> bytes:
    """Return the number of the mount that a folder is in; empty where the kernel does not say."""
    with suppress(OSError):
        for line in Path(f"/proc/self/fdinfo/{folder}").read_bytes().splitlines():
            if line.startswith(b"mnt_id:"):
                return line
    return b""
