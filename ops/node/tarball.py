"""A tar archive read as it comes: its members one after the other, whatever it is compressed with, never backwards.

`tarfile` reads the headers, from a stream of ours: that one bounds how much a header may claim, and knows in the end
whether the archive was whole, which `tarfile` takes for granted.
"""

from __future__ import annotations

import io
import sys
import tarfile
import zlib
from collections.abc import Iterator

from ops.core.errors import OpsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Protocol
else:
    Protocol = object

CHUNK_BYTES = 1 << 18
_BUFFER_BYTES = 1 << 16  # less than a chunk: what of a chunk fills whole buffers goes past them
_HEADER_BYTES = 1 << 20  # the longest header that is read: names are far shorter
_DAMAGED = (tarfile.TarError, ValueError, ArithmeticError, LookupError, RecursionError)


class Readable(Protocol):
    """Something to read from: at least a byte each time, 0 at the end."""

    def readinto(self, buffer: memoryview, /) -> int: ...


class Tarball:
    """An archive on its way.

    Parameters
    ----------
    name : as it is called in errors.
    """

    def __init__(self, source: Readable, name: str) -> None:
        self._stream = _Stream(source)
        self._name = name
        self._chunk = memoryview(bytearray(CHUNK_BYTES))

    def members(self) -> Iterator[tarfile.TarInfo]:
        """Read the headers; what of a member's content nobody has read is passed over.

        Raises
        ------
        OpsError : it is no archive, damaged, or cut short.
        """
        try:
            # UTF-8 whatever the locale: a name's bytes come back as they were by the same two words
            stream: Any = self._stream
            archive = tarfile.TarFile(fileobj=stream, mode="r", encoding="utf-8", errors="surrogateescape")
            # one without members ends at its first block, which older Pythons would read once more
            member = archive.next() if self._stream.block.strip(b"\0") else None
            while member is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep all of them
                yield member
                member = archive.next()
        except _DAMAGED as error:
            raise self._damaged(error) from error
        if self._stream.block.strip(b"\0") or not self._stream.block:
            raise OpsError(f"{self._name} cannot be unpacked: it is damaged, or cut short: nothing marks its end")

    def content(self, member: tarfile.TarInfo) -> Iterator[tuple[int, memoryview]]:
        """Read a file's content: where in the file, what; a sparse file has holes in between.

        What is given is written over by the next part.

        Raises
        ------
        OpsError : it is damaged, or cut short.
        """
        pieces: Any = member.sparse
        try:
            self._stream.seek(member.offset_data)
            for offset, size in ((0, member.size),) if pieces is None else pieces:
                if not 0 <= offset <= offset + size <= member.size <= sys.maxsize:
                    raise tarfile.ReadError("a file's pieces lie outside of it")
                at, end = offset, offset + size
                while at < end:
                    count = self._stream.fill(self._chunk[: end - at])
                    if not count:
                        raise tarfile.ReadError("it ends in the middle of a file")
                    yield at, self._chunk[:count]
                    at += count
        except _DAMAGED as error:
            raise self._damaged(error) from error

    def _damaged(self, error: BaseException) -> OpsError:
        why = "its headers are nested" if isinstance(error, RecursionError) else str(error) or "it ends in the middle"
        return OpsError(f"{self._name} cannot be unpacked: {why}")


class _Stream:
    """What `tarfile` reads headers from: forward alone.

    Attributes
    ----------
    block : the block that was read last as a header; zeros are an archive's end.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._file: _File | None = None
        self._troubles: tuple[type[Exception], ...] = ()
        self._at = 0
        self.block = b""

    def tell(self) -> int:
        return self._at

    def seek(self, position: int) -> None:
        """Pass over what lies before a position."""
        left = position - self._at
        if left < 0:
            raise tarfile.ReadError("its sizes contradict each other")
        while left:
            part = self.take(min(left, CHUNK_BYTES))
            if not part:
                break
            left -= len(part)

    def read(self, size: int) -> bytes:
        """Read a header."""
        if not 0 <= size <= _HEADER_BYTES:
            raise tarfile.ReadError(f"a header claims to be {size} B long")
        self.block = self.take(size)
        return self.block

    def take(self, size: int) -> bytes:
        """Read some; less at the end alone."""
        data = bytearray(size)
        return bytes(data[: self.fill(memoryview(data))])

    def fill(self, buffer: memoryview) -> int:
        """Read some into a buffer; returns how many bytes, less than all at the end alone."""
        if self._file is None:
            self._file, self._troubles = _decompressed(self._source)
        try:
            count = self._file.readinto(buffer)
        except self._troubles as error:
            raise tarfile.ReadError(str(error)) from error
        self._at += count
        return count


class _File(Protocol):
    """What an archive is read from: fewer bytes than were asked for at the end alone."""

    def readinto(self, buffer: memoryview, /) -> int: ...


class _Raw(io.RawIOBase):
    """A source as the raw end of a buffered reader."""

    def __init__(self, source: Readable) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer; less at the end alone: by the first bytes it is told what the archive is."""
        view, filled = memoryview(buffer), 0
        while filled < len(view) and (size := self._source.readinto(view[filled:])):
            filled += size
        return filled


def _decompressed(source: Readable) -> tuple[_File, tuple[type[Exception], ...]]:
    """Return the archive behind its compression, known by its first bytes, and what damaged data raises there."""
    buffered = io.BufferedReader(_Raw(source), _BUFFER_BYTES)
    head = buffered.peek(tarfile.BLOCKSIZE)
    if _is_header(head[: tarfile.BLOCKSIZE]):  # the name of its first member may begin as compressed data does
        return buffered, ()
    try:
        if head.startswith(b"\x1f\x8b"):
            import gzip

            return gzip.GzipFile(fileobj=buffered, mode="rb"), (OSError, EOFError, zlib.error)
        if head.startswith(b"BZh"):
            import bz2

            return bz2.BZ2File(buffered), (OSError, EOFError)
        if head.startswith((b"\xfd7zXZ", b"\x5d\x00\x00")):
            import lzma

            return lzma.LZMAFile(buffered), (lzma.LZMAError, EOFError)
    except ImportError as error:
        raise OpsError(f"this host's Python lacks {error.name}, which the archive is compressed with") from error
    return buffered, ()


def _is_header(block: bytes) -> bool:
    """Whether a member's header stands there: its checksum holds."""
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except _DAMAGED:
        return False
    return True
