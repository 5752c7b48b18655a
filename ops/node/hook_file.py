"""A hook's program on its host: a file in a folder of its own below deploy_to, for as long as it runs.

There it has a path like any other program: some interpreters (node) look for a script by the path that it really has.
And nothing may be run from /tmp on many hosts. The folder is closed to all but the user that the hook runs as.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.core.errors import OpsError
from ops.node import removal

_PREFIX = ".karafka-hook-"
_MFD_EXEC = 0x10  # memfd_create(2); unknown to kernels before 6.3, which need none

Program = tuple[str, "int | None"]
"""What is run: its path, or a name and a descriptor, which a script's interpreter reads it by."""


@contextmanager
def program(name: str, parts: Iterable[bytes], root: Path) -> Iterator[Program]:
    """Yield a program while it is run.

    Where deploy_to is mounted noexec it lies in memory. Some hosts (vm.memfd_noexec, SELinux) run nothing from there.

    Parameters
    ----------
    parts : its content.
    root : deploy_to.

    Raises
    ------
    OpsError : nothing can be run on this host.
    OSError : it cannot be written.
    """
    import tempfile  # a deploy without hooks on its hosts has no need of it

    folder = tempfile.mkdtemp(prefix=_PREFIX, dir=root)
    try:
        path = Path(folder, name)
        with path.open("xb") as file:
            file.writelines(parts)
        path.chmod(0o700)
        if os.access(path, os.X_OK):
            yield str(path), None
        else:  # mounted noexec
            descriptor = _in_memory(path, root)
            try:
                yield name, descriptor
            finally:
                os.close(descriptor)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def tidy(root: Path) -> None:
    """Remove what agents that were killed have left; one that still runs has its file open."""
    for path in root.glob(f"{_PREFIX}*"):
        removal.remove(path)


def _in_memory(path: Path, root: Path) -> int:
    hint = f"a filesystem for {root} that is not mounted noexec, or memory that may be run (vm.memfd_noexec)"
    if not hasattr(os, "memfd_create"):
        raise OpsError("a hook cannot be run: the agent's Python has no os.memfd_create", hint=hint)
    try:
        written = os.memfd_create(path.name, os.MFD_CLOEXEC | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise OpsError(f"a hook cannot be run: {error.strerror}", hint=hint) from error
        written = os.memfd_create(path.name, os.MFD_CLOEXEC)
    with os.fdopen(written, "wb") as file:
        file.write(path.read_bytes())
        file.flush()
        os.fchmod(written, 0o700)
        # Nothing that is open for writing can be run.
        return os.open(f"/proc/self/fd/{written}", os.O_RDONLY | os.O_CLOEXEC)
