"""What a process writes: the files that it has open for it just now, by /proc."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

_ACCESS = os.O_WRONLY | os.O_RDWR
_MOST = 20  # files of a process that are told


def written_files(pid: int, shared: str) -> tuple[str, ...]:
    """Return files on a disk that a process has open for writing, in order; nothing where it cannot be looked at.

    Parameters
    ----------
    shared : the application's shared folder: what lies below is told by its name, whatever links lead there.
    """
    real = os.path.realpath(shared)
    found = set()
    try:
        for path in _open_for_writing(Path(f"/proc/{pid}")):
            found.add(f"{shared}{path[len(real) :]}" if path.startswith(f"{real}/") else path)
    except OSError:  # it has ended, or is another user's
        return ()
    return tuple(sorted(found)[:_MOST])


def _open_for_writing(process: Path) -> Iterator[str]:
    for one in (process / "fd").iterdir():
        try:
            path = os.readlink(one)  # noqa: PTH115
            flags = (process / "fdinfo" / one.name).read_text().partition("flags:")[2].split()
            kind = one.stat()
        except OSError:  # it was closed meanwhile
            continue
        on_disk = path.startswith("/") and not path.startswith(("/dev/", "/proc/", "/memfd:"))
        if on_disk and stat.S_ISREG(kind.st_mode) and kind.st_nlink and flags and int(flags[0], 8) & _ACCESS:
            yield path
