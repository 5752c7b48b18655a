"""This machine in the role of every host: the command as a subprocess."""

from __future__ import annotations

import os
import selectors
import subprocess
from collections.abc import Callable, Sequence

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.offspring import Offspring
from ops.fleet.transport import ERROR_BYTES, Exit, HungError, Input, Target, parts_of

_CHUNK_BYTES = 1 << 16
_END_SECONDS = 5.0
_GRACE_SECONDS = 5.0  # after TERM: a `fab` that it runs tells its hosts
_LOOK_SECONDS = 1.0
_LAST_SECONDS = 1.0
NOT_FOUND = 127  # as a shell has it


class LocalTransport:
    """Runs commands on this machine, whichever host they are for."""

    def execute(
        self,
        target: Target,
        command: Sequence[str],
        data: Input,
        receive: Callable[[bytes], None],
        deadline: Deadline,
    ) -> Exit:
        """Run one command; see `Transport`."""
        pipe, offspring = subprocess.PIPE, Offspring()
        try:
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, start_new_session=True,
                env={**os.environ, **offspring.variables},
            )  # fmt: skip
        except OSError as error:
            return Exit(NOT_FOUND, f"{command[0]}: {error.strerror}")
        with process:
            try:
                errors = _converse(process, data, receive, deadline)
                code = process.wait(max(deadline.remaining, 0.001))
            except subprocess.TimeoutExpired:
                raise HungError(f"no answer within {in_seconds(deadline.seconds)}", where=target.name) from None
            finally:
                if process.poll() is None:
                    offspring.end(process.pid, _GRACE_SECONDS)
                    process.wait(_END_SECONDS)
        return Exit(None if code < 0 else code, errors.decode(errors="replace"))


def _converse(
    process: subprocess.Popen[bytes], data: Input, receive: Callable[[bytes], None], deadline: Deadline
) -> bytes:
    """Feed the input, pass on the output until both outputs end, or the command; gives the end of standard error.

    What a command has left in the background may hold its outputs open.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    errors = b""
    parts = parts_of(data)
    rest = next(parts, b"")
    with selectors.DefaultSelector() as selector:
        os.set_blocking(process.stdin.fileno(), False)
        for stream, event in (
            (process.stdin, selectors.EVENT_WRITE),
            (process.stdout, selectors.EVENT_READ),
            (process.stderr, selectors.EVENT_READ),
        ):
            selector.register(stream, event)
        outputs = {process.stdout, process.stderr}
        last: Deadline | None = None  # for what was said before the end
        while outputs:
            if last is None and process.poll() is not None:
                last = Deadline(_LAST_SECONDS)
            ready = selector.select(0 if last else min(deadline.remaining, _LOOK_SECONDS))
            if last and (last.expired or not any(key.fileobj in outputs for key, _ in ready)):
                break
            if not last and deadline.expired:
                raise subprocess.TimeoutExpired(process.args, deadline.seconds)
            for key, _ in ready:
                if key.fileobj is process.stdin:
                    rest = _feed(process.stdin.fileno(), rest) or next(parts, b"")
                    if not rest:
                        selector.unregister(process.stdin)
                        process.stdin.close()
                    continue
                part = os.read(key.fd, _CHUNK_BYTES)
                if not part:
                    selector.unregister(key.fileobj)
                    outputs.discard(key.fileobj)
                elif key.fileobj is process.stdout:
                    receive(part)
                else:
                    errors = (errors + part)[-ERROR_BYTES:]
    return errors


def _feed(descriptor: int, data: bytes) -> bytes:
    """Write what goes; gives the rest, nothing when the command does not want it."""
    try:
        return data[os.write(descriptor, data[:_CHUNK_BYTES]) :]
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return b""
