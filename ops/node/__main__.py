"""`python -m ops.node [--stay]`: a JSON request on standard input, JSON lines back on standard output.

With `--stay` another request may follow each response: see `ops.core.serving`.

Exit codes: 0 a response was sent, whatever it says; 2 the request was none of this protocol's.
"""

from __future__ import annotations

import gc

if __name__ == "__main__":
    gc.disable()  # what is imported stays: to look for garbage in it takes some milliseconds of a start

import os
from contextlib import suppress
from functools import partial
from pathlib import Path

from ops.core.courtesy import yield_cpu
from ops.core.errors import ExitCode, OpsError
from ops.core.interrupts import asked_once
from ops.core.leaving import leave
from ops.core.privileges import work_as_owner
from ops.core.protocol import ASKING, Event, ProtocolError, Request, Response, Verb, encode_line
from ops.core.records import asdict
from ops.core.serving import Reader, serve
from ops.node.agent import carry_out, permit_for

_GARBAGE = 20_000  # objects: more than a request imports and makes


def main() -> int:
    """Read the request, carry it out, answer; again, where it is to stay."""
    gc.freeze()
    gc.set_threshold(_GARBAGE)
    gc.enable()
    yield_cpu()
    return serve(_answer, _refuse, _reap)


def _answer(line: str, rest: bytes) -> ExitCode:
    """Answer one request.

    Parameters
    ----------
    rest : what was read beyond it.
    """
    try:
        request = Request.decode(line)
    except ProtocolError as error:
        return _refuse(error)
    if request.shared:
        try:
            work_as_owner(str(Path(request.shared).parent), _folders(request))
        except OpsError as error:
            _send(Reader(), Response((), error=str(error)))
            return ExitCode.DONE
    payload = None
    if request.verb is Verb.DEPLOY:
        from ops.node.payload import Payload

        payload = Payload(0, rest)
    permit = permit_for(request)

    def wanted() -> bool:
        try:
            permit()
        except OpsError:
            return False
        return True

    send = partial(_send, Reader(wanted))
    if request.verb in ASKING and request.verb is not Verb.DESCRIBE:
        send(carry_out(request, send, payload))
        return ExitCode.DONE
    try:
        with asked_once():  # the operator may go, and its session's end be asked for: what has begun is finished
            send(carry_out(request, send, payload))
    except KeyboardInterrupt:
        send(Response((), error="interrupted"))
    if payload is not None and request.deploy is not None and payload.taken < request.deploy.following:
        return ExitCode.USAGE  # it failed: what is left of the upload is no request
    return ExitCode.DONE


def _folders(request: Request) -> set[str]:
    """Name the folders that settings have an agent write to, or run something of."""
    shared = Path(request.shared)
    found = {str(Path(path).parent) for spec in request.processes for path in asdict(spec.files).values()}
    found |= {spec.directory for spec in request.processes}
    if request.deploy is not None:
        found |= {str(shared.parent / "releases" / request.deploy.release)}
        found |= {str(shared / one) for one in request.deploy.linked_dirs}
        found |= {str((shared / one).parent) for one in request.deploy.linked_files}
    return found


def _refuse(error: ProtocolError) -> ExitCode:
    _send(Reader(), Response((), error=str(error)))
    return ExitCode.USAGE


def _send(reader: Reader, message: Event | Response) -> None:
    """Write one line whole; threads share the pipe. It begins on a line of its own, whatever start-up files wrote."""
    with suppress(OSError):  # an operator that went away is nobody's reason to fail
        reader.write(f"\n{encode_line(message)}\n".encode())


def _reap() -> None:
    """Let no consumer that has ended stay a zombie: to `kill -0` it would be alive for as long as this agent stays."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    leave(main())
