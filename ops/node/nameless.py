"""A program that has no name in any folder: what runs it has a descriptor of it.

In a folder of the application its owner could put another one in its place, which a deploying root would run; and
nothing may be run from /tmp on many hosts.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from ops.core.errors import OpsError

_MFD_EXEC = 0x10  # memfd_create(2); unknown to kernels before 6.3, which need none


def program(name: str, parts: Iterable[bytes], folder: Path) -> int:
    """Give a descriptor of a program, to be run as /proc/self/fd/N and closed.

    It lies on the disk of a folder from which programs are run anyway, else in memory: some filesystems (NFS) have no
    files without a name, some hosts (vm.memfd_noexec, SELinux) run nothing from memory.

    Parameters
    ----------
    name : of what is in memory, for who looks at processes.

    Raises
    ------
    OpsError : this host has neither.
    """
    written = _on_disk(folder)
    if written is None:
        written = _in_memory(name, folder)
    with os.fdopen(written, "wb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fchmod(written, 0o700)
        # Nothing that is open for writing can be run.
        return os.open(f"/proc/self/fd/{written}", os.O_RDONLY | os.O_CLOEXEC)


def _on_disk(folder: Path) -> int | None:
    try:
        made = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o700)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL):  # open(2): it has no such files
            return None
        raise
    if os.access(f"/proc/self/fd/{made}", os.X_OK):
        return made
    os.close(made)  # mounted noexec
    return None


def _in_memory(name: str, folder: Path) -> int:
    hint = f"a filesystem for {folder} that has O_TMPFILE (open(2)), or memory that may be run (vm.memfd_noexec)"
    if not hasattr(os, "memfd_create"):
        raise OpsError("a hook cannot be run: the agent's Python has no os.memfd_create", hint=hint)
    try:
        return os.memfd_create(name, os.MFD_CLOEXEC | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise OpsError(f"a hook cannot be run: {error.strerror}", hint=hint) from error
    return os.memfd_create(name, os.MFD_CLOEXEC)
