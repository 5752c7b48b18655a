"""The artifact on the operator's side: what it is, and its bytes for each host."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ops.core.errors import UsageError
from ops.core.release import ARTIFACT_FILE, Artifact

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".whl")
_CHUNK_BYTES = 4 * ((1 << 15) - 64)  # whole packets: OpenSSH takes 32 KiB at once, paramiko keeps 64 B of that
_TELL_BYTES = 1 << 20


def describe(path: Path) -> Artifact:
    """Say what an artifact is: name, size, digest.

    Raises
    ------
    UsageError : it is not there, of no kind that can be unpacked, or named like an option.
    """
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"expected a file that ends in {', '.join(SUFFIXES)}, got {path}", where="--artifact")
    if not ARTIFACT_FILE.fullmatch(path.name):
        what = f"{path.name!r} begins with '-' or '.', or has control characters in it"
        raise UsageError(what, where="--artifact", hint="rename the file")
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Artifact(path.name, path.stat().st_size, digest)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", where="--artifact") from None


def parts(path: Path, sent: Callable[[int], None]) -> Iterator[bytes]:
    """Give an artifact's bytes.

    Parameters
    ----------
    sent : is told now and then how many were taken, and at the end.
    """
    total = told = 0
    with path.open("rb") as file:
        while part := file.read(_CHUNK_BYTES):
            yield part
            total += len(part)
            if total - told >= _TELL_BYTES:
                told = total
                sent(total)
    sent(total)
