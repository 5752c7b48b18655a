"""`python -m ops.node [--stay]`: a JSON request on standard input, JSON lines back on standard output.

With `--stay` another request may follow each response, until standard input ends or none comes for a quarter of an
hour; such requests are followed by no payload. An empty line says that one was taken up: after an end without it,
nothing was done.

Exit codes: 0 a response was sent, whatever it says; 2 the request was none of this protocol's.
"""

from __future__ import annotations

import os
import select
import signal
import sys

from ops.core.courtesy import yield_cpu
from ops.core.deadline import Deadline
from ops.core.errors import ExitCode
from ops.core.protocol import ASKING, Event, ProtocolError, Request, Response, Verb, encode_line
from ops.node.agent import carry_out

_REQUEST_SECONDS = 30.0
_STAY_SECONDS = 900.0
_REQUEST_BYTES = 16 * 1024 * 1024


def main() -> int:
    """Read the request, carry it out, answer; again, where it is to stay."""
    yield_cpu()
    stays = sys.argv[1:] == ["--stay"]
    code, rest = _answer(b"", stays)
    while code is ExitCode.DONE and stays and (rest or select.select([0], [], [], _STAY_SECONDS)[0]):
        rest = rest or os.read(0, 1 << 16)
        if not rest:
            break
        code, rest = _answer(rest, stays)
    return code


def _answer(data: bytes, stays: bool) -> tuple[ExitCode, bytes]:
    """Answer one request; gives what was read beyond it, too.

    Parameters
    ----------
    data : what was read of it.
    stays : say first that it was taken up.
    """
    try:
        line, rest = _line(0, data, Deadline(_REQUEST_SECONDS))
        request = Request.decode(line)
    except ProtocolError as error:
        _send(Response((), error=str(error)))
        return ExitCode.USAGE, b""
    if request.verb not in ASKING or request.verb is Verb.DESCRIBE:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the operator may go: what has begun is finished
    if stays:
        _write(b"\n")
    payload = None
    if request.verb is Verb.DEPLOY:
        from ops.node.payload import Payload

        payload = Payload(0, rest)
    _send(carry_out(request, _send, payload))
    return ExitCode.DONE, rest


def _line(descriptor: int, data: bytes, deadline: Deadline) -> tuple[str, bytes]:
    """Read a line whose begin was read before, or all there is; gives what was read beyond it, too."""
    while b"\n" not in data:
        if not select.select([descriptor], [], [], deadline.remaining)[0]:
            raise ProtocolError(f"no request came within {deadline.seconds:g} s")
        part = os.read(descriptor, 1 << 16)
        data += part
        if not part:
            break
        if len(data) > _REQUEST_BYTES:
            raise ProtocolError(f"the request is longer than {_REQUEST_BYTES} bytes")
    line, _, rest = data.partition(b"\n")
    return line.decode(errors="replace"), rest


def _send(message: Event | Response) -> None:
    """Write one line whole; threads share the pipe. It begins on a line of its own, whatever start-up files wrote."""
    _write(f"\n{encode_line(message)}\n".encode())


def _write(data: bytes) -> None:
    """Write all of it; an operator that went away is nobody's reason to fail."""
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        return


if __name__ == "__main__":
    sys.exit(main())
