"""Requests from standard input, a line each: one, or with `--stay` one after the other.

A program that stays answers until standard input ends or no request comes for a quarter of an hour. An empty line says
that one was taken up: after an end without it, nothing was done. What follows a request comes after that line, as many
bytes as it says. An empty request is answered by that line alone: whoever asks learns that somebody is there.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import ExitCode
from ops.core.protocol import ProtocolError

STAY = "--stay"
_REQUEST_SECONDS = 30.0
_STAY_SECONDS = 900.0
_IDLE_SECONDS = 1.0
_LOOK_SECONDS = 1.0
_PIECE_BYTES = 4096  # what a pipe takes at once that says that it takes something (pipe(7))
_REQUEST_BYTES = 16 * 1024 * 1024


def serve(
    answer: Callable[[str, bytes], int], refuse: Callable[[ProtocolError], int], idle: Callable[[], None] | None = None
) -> int:
    """Return what the last answer gave, or the refusal of what was no line.

    Parameters
    ----------
    answer : is given a request, and what was read beyond it; of a program that stays that is the next request.
        `ExitCode.USAGE` ends such a program: what comes next would be taken for a request, and is none.
    refuse : is given why there is none.
    idle : is called once a second while no request comes.
    """
    stays = sys.argv[1:] == [STAY]
    build = os.path.realpath(sys.prefix)
    rest, code = b"", int(ExitCode.DONE)
    while True:
        try:
            line, rest = _line(0, rest, Deadline(_REQUEST_SECONDS))
        except ProtocolError as error:
            return refuse(error)
        if stays:
            if os.path.realpath(sys.prefix) != build:  # a setup has swung the link: what is imported from now on is new
                return code
            with suppress(OSError):
                write(b"\n")
        if line.strip() or not stays:
            code = answer(line, b"" if stays else rest)
            if not stays or code == ExitCode.USAGE:
                return code
        rest = rest or _next(idle)
        if not rest:
            return code


def write(data: bytes) -> None:
    """Write all of it to standard output.

    Raises
    ------
    OSError : nobody reads it any more.
    """
    while data:
        data = data[os.write(1, data) :]


class Reader:
    """Who reads standard output, if there is still somebody.

    One that stands still, as an operator whose machine has vanished does, takes nothing any more, and a write to it
    does not end. What is at work here may hold a lock that the next one waits for.

    Parameters
    ----------
    wanted : asked each second that nothing is taken; what is not wanted goes nowhere from then on.
    """

    def __init__(self, wanted: Callable[[], bool] = lambda: True) -> None:
        self._wanted = wanted
        self._lock = threading.Lock()
        self._left = False

    def write(self, data: bytes) -> None:
        """Write all of it; from any thread.

        Raises
        ------
        OSError : nobody reads it any more.
        """
        with self._lock:
            while data:
                while not self._left and not select.select([], [1], [], _LOOK_SECONDS)[1]:
                    self._left = not self._wanted()
                if self._left:
                    raise BrokenPipeError(errno.EPIPE, "nobody reads any more")
                data = data[os.write(1, data[:_PIECE_BYTES]) :]


def _next(idle: Callable[[], None] | None) -> bytes:
    """Return the begin of the next request; nothing where none comes."""
    deadline = Deadline(_STAY_SECONDS)
    while not deadline.expired:
        if select.select([0], [], [], min(_IDLE_SECONDS, deadline.remaining))[0]:
            return os.read(0, 1 << 16)
        if idle is not None:
            idle()
    return b""


def _line(descriptor: int, data: bytes, deadline: Deadline) -> tuple[str, bytes]:
    """Read a line whose begin was read before, or all there is; gives what was read beyond it, too."""
    while b"\n" not in data:
        if not select.select([descriptor], [], [], deadline.remaining)[0]:
            raise ProtocolError(f"no request came within {in_seconds(deadline.seconds)}")
        part = os.read(descriptor, 1 << 16)
        data += part
        if not part:
            break
        if len(data) > _REQUEST_BYTES:
            raise ProtocolError(f"the request is longer than {_REQUEST_BYTES} bytes")
    line, _, rest = data.partition(b"\n")
    return line.decode(errors="replace"), rest
