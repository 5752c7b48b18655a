"""Files in an application's folder, opened for what they have to be.

In the place of one its owner may have put a fifo, whose opening waits for ever, or a device that never ends.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MOST_BYTES = 1 << 26
"""Of a file that is read whole."""
_PIECE_BYTES = 1 << 20


def opened(path: Path, flags: int = os.O_RDONLY, mode: int = 0o666) -> int:
    """Return a descriptor of a regular file.

    Parameters
    ----------
    flags, mode : as `os.open` has them.

    Raises
    ------
    OSError : it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    kind = os.fstat(descriptor).st_mode
    if stat.S_ISREG(kind):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is no regular file", str(path))


def content_of(path: Path) -> bytes:
    """Return what is in a file.

    Raises
    ------
    OSError : it cannot be read, is no regular file, or too long for any of ours.
    """
    descriptor, data = opened(path), b""
    try:
        while part := os.read(descriptor, _PIECE_BYTES):
            data += part
            if len(data) > MOST_BYTES:
                raise OSError(errno.EFBIG, f"it is longer than {MOST_BYTES} bytes", str(path))
    finally:
        os.close(descriptor)
    return data
