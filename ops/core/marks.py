"""What a commit's metadata tells beyond its offset: what finished behind it, and how often unfinished jobs were tried.

The broker takes 4,096 bytes (offset.metadata.max.bytes). The text is a prefix with the version, then base64 of

    checksum | flags | reach - offset | [lone - offset] | length of the finished part | finished part | attempts

in unsigned LEB128 numbers but for the checksum, four bytes of CRC-32. The finished part is run lengths (unfinished,
finished, unfinished ...) or a bitmap, whichever is shorter. Attempts are runs over the unfinished offsets in order:
how many to skip, how many have it, the byte (deaths in its upper half, failures in its lower).
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

LIMIT = 4096
_PREFIX = "karafka-lanes-1:"
_CHECK = 4
_BYTES = (LIMIT - len(_PREFIX)) // 4 * 3 - _CHECK
_CLEAN, _BITMAP, _LONE = 1, 2, 4
MOST = 15  # tries that an unfinished job is remembered with

Intervals = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Marks:
    """What is known of a partition from its committed offset on.

    Attributes
    ----------
    offset : the committed one; everything before it is finished, it itself is not.
    clean : whoever wrote this had nothing in work; otherwise, if it is gone, it died in the middle.
    reach : everything in work is before this offset.
    finished : intervals (from, before) of finished offsets behind `offset`, in order, none touching the next.
    tries : by offset failures and deaths of unfinished jobs that have any.
    lone : the job that alone was in work; None for many or none.
    """

    offset: int
    clean: bool = True
    reach: int = 0
    finished: Intervals = ()
    tries: dict[int, tuple[int, int]] = field(default_factory=dict)
    lone: int | None = None


def encode(marks: Marks) -> str:
    """Give the text, never longer than `LIMIT`: tries that do not fit are left out, those of later offsets first.

    Raises
    ------
    ValueError : the finished offsets alone do not fit.
    """
    offset = marks.offset
    lengths = _runs(offset, marks.finished)
    bits = _bitmap(offset, marks.finished) if lengths else b""
    flags, part = (_CLEAN if marks.clean else 0), lengths
    if len(bits) < len(lengths):
        flags, part = flags | _BITMAP, bits
    data = bytearray([flags | (_LONE if marks.lone is not None else 0)])
    data += _number(max(0, marks.reach - offset))
    if marks.lone is not None:
        data += _number(marks.lone - offset)
    data += _number(len(part)) + part
    if len(data) > _BYTES:
        raise ValueError(f"{len(data)} bytes of finished offsets")
    for run in _attempts(marks):
        if len(data) + len(run) > _BYTES:
            break
        data += run
    return _PREFIX + base64.b64encode(zlib.crc32(data).to_bytes(_CHECK, "little") + data).decode()


def decode(offset: int, text: str) -> Marks | None:
    """Read a commit's metadata; None where it is another tool's, or another version's."""
    if not text.startswith(_PREFIX):
        return None
    try:
        raw = base64.b64decode(text[len(_PREFIX) :], validate=True)
        if zlib.crc32(raw[_CHECK:]).to_bytes(_CHECK, "little") != raw[:_CHECK]:
            return None
        data = iter(raw[_CHECK:])
        flags = next(data)
        reach = offset + _read(data)
        lone = offset + _read(data) if flags & _LONE else None
        part = bytes(next(data) for _ in range(_read(data)))
        finished = tuple(_from_bitmap(offset, part) if flags & _BITMAP else _from_runs(offset, part))
        tries = _from_attempts(offset, finished, list(data))
    except (ValueError, StopIteration, RuntimeError):  # a generator turns StopIteration into RuntimeError
        return None
    return Marks(offset, bool(flags & _CLEAN), reach, finished, tries, lone)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read(data: Iterator[int]) -> int:
    value = shift = 0
    while True:
        byte = next(data)
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7


def _runs(offset: int, finished: Intervals) -> bytes:
    bounds = [offset, *(bound for interval in finished for bound in interval)]
    return b"".join(_number(after - before) for before, after in zip(bounds, bounds[1:]))  # 3.9 has no pairwise


def _from_runs(offset: int, part: bytes) -> Iterator[tuple[int, int]]:
    data = iter(part)
    while True:
        try:
            start = offset + _read(data)
        except StopIteration:
            return
        offset = start + _read(data)
        yield start, offset


def _bitmap(offset: int, finished: Intervals) -> bytes:
    bits = 0
    size = (finished[-1][1] - offset + 7) // 8
    if size > _BYTES:
        return bytes(size)  # longer than the run lengths of whatever fits
    for start, end in finished:
        bits |= ((1 << (end - start)) - 1) << (start - offset)
    return bits.to_bytes(size, "little")


def _from_bitmap(offset: int, part: bytes) -> Iterator[tuple[int, int]]:
    bits, at = int.from_bytes(part, "little"), offset
    while bits:
        skip = (bits & -bits).bit_length() - 1
        bits >>= skip
        length = (~bits & (bits + 1)).bit_length() - 1
        bits >>= length
        yield at + skip, at + skip + length
        at += skip + length


def _attempts(marks: Marks) -> Iterator[bytes]:
    """Give the runs of tries; offsets are counted among the unfinished ones."""
    run: list[int] = []  # skip, count, byte
    reached = 0
    for index, failures, deaths in _indexed(marks):
        byte = min(deaths, MOST) << 4 | min(failures, MOST)
        if run and index == reached and run[2] == byte:
            run[1] += 1
        else:
            if run:
                yield _number(run[0]) + _number(run[1]) + bytes([run[2]])
            run = [index - reached, 1, byte]
        reached = index + 1
    if run:
        yield _number(run[0]) + _number(run[1]) + bytes([run[2]])


def _indexed(marks: Marks) -> Iterator[tuple[int, int, int]]:
    intervals, passed, at = iter(marks.finished), 0, 0
    interval = next(intervals, None)
    for at, (failures, deaths) in sorted(marks.tries.items()):
        while interval is not None and interval[1] <= at:
            passed += interval[1] - interval[0]
            interval = next(intervals, None)
        yield at - marks.offset - passed, failures, deaths


def _from_attempts(offset: int, finished: Intervals, data: list[int]) -> dict[int, tuple[int, int]]:
    tries: dict[int, tuple[int, int]] = {}
    unfinished = _unfinished(offset, finished)
    rest = iter(data)
    while True:
        try:
            skip = _read(rest)
        except StopIteration:
            return tries
        count, byte = _read(rest), next(rest)
        for _ in range(skip):
            next(unfinished)
        for _ in range(count):
            tries[next(unfinished)] = byte & 0xF, byte >> 4


def _unfinished(offset: int, finished: Iterable[tuple[int, int]]) -> Iterator[int]:
    for start, end in finished:
        yield from range(offset, start)
        offset = end
    while True:
        yield offset
        offset += 1
