"""A connection to a host, and the talk with one command over it, which ends by a deadline whatever the host does."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.records import dataclass
from ops.fleet.transport import ERROR_BYTES, Exit, HungError, Input, Target, parts_of
from ops.fleet.transport.alarms import ALARMS
from ops.fleet.transport.bastions import Hop
from ops.fleet.transport.client_config import ClientConfig
from ops.fleet.transport.failures import Way

BROKEN = (SSHException, OSError, EOFError)
_CHUNK_BYTES = 1 << 16
_TICK_SECONDS = 1.0  # between looks at standard error while standard output is silent
_GRACE_SECONDS = 0.5  # past a deadline that paramiko does not keep by itself


@dataclass(frozen=True)
class Line:
    """An open connection to a host."""

    hop: Hop
    config: ClientConfig

    @property
    def way(self) -> Way:
        """How it was reached, for the text of an error."""
        return self.hop.way

    def close(self) -> None:
        """Close it, and what nobody else goes through."""
        self.hop.close()

    @contextmanager
    def within(self, deadline: Deadline) -> Iterator[None]:
        """Cut it where what is done meanwhile has not ended a moment after a deadline.

        Paramiko waits for some answers for ever, and for the other side to take what is sent.

        Raises
        ------
        TimeoutError : it was cut.
        """
        hung = threading.Event()
        through = self.hop.through

        def cut() -> None:
            hung.set()
            closing = self.hop.cut()
            closing.join(_TICK_SECONDS)
            if through is not None and closing.is_alive():  # then that one hangs, and with it all that goes through it
                through.forget()
                through.hop.cut()

        alarm = ALARMS.after(deadline.remaining + _GRACE_SECONDS, cut)
        try:
            yield
        except BROKEN as error:
            if hung.is_set():
                raise TimeoutError("it hung") from error
            raise
        finally:
            alarm.cancel()


def hung(line: Line, target: Target, deadline: Deadline) -> HungError:
    """Make the error for a command that had not ended at its deadline."""
    return HungError(
        f"no answer within {in_seconds(deadline.seconds)}; what it had begun may go on there",
        where=line.way.where,
        hint=f"look at the host: ssh {target.address}",
    )


def converse(channel: Channel, data: Input, receive: Callable[[bytes], None], deadline: Deadline) -> Exit:
    """Send the input, pass on the output until it ends.

    Raises
    ------
    TimeoutError : the deadline passed.
    """
    channel.settimeout(max(deadline.remaining, 0.001))
    try:
        for piece in parts_of(data):
            channel.settimeout(max(deadline.remaining, 0.001))
            channel.sendall(piece)
        channel.shutdown_write()
    except TimeoutError:
        raise
    except OSError:  # it ended without reading its input: what it said is still to be read
        pass
    end = listen(channel, receive, lambda _: False, deadline)
    assert end is not None
    return end


def listen(
    channel: Channel, receive: Callable[[bytes], None], enough: Callable[[bytes], bool], deadline: Deadline
) -> Exit | None:
    """Pass on the output until it ends, or a part of it is enough; gives how the command ended, None where it goes on.

    Raises
    ------
    TimeoutError : the deadline passed.
    """
    errors = b""
    while True:
        channel.settimeout(max(min(_TICK_SECONDS, deadline.remaining), 0.001))
        try:
            part = channel.recv(_CHUNK_BYTES)
        except TimeoutError:
            part = None
        while channel.recv_stderr_ready():
            errors = (errors + channel.recv_stderr(_CHUNK_BYTES))[-ERROR_BYTES:]
        if part:
            receive(part)
            if enough(part):
                return None
        elif part is not None:
            return _exit(channel, errors, deadline)
        if deadline.expired:
            raise TimeoutError


def _exit(channel: Channel, errors: bytes, deadline: Deadline) -> Exit:
    """Take the rest of standard error and the exit code, after standard output has ended."""
    channel.settimeout(max(min(_TICK_SECONDS, deadline.remaining), 0.001))
    with suppress(TimeoutError):
        while part := channel.recv_stderr(_CHUNK_BYTES):
            errors = (errors + part)[-ERROR_BYTES:]
    if not channel.status_event.wait(min(_TICK_SECONDS, deadline.remaining)):
        return Exit(None, errors.decode(errors="replace"))
    code = channel.recv_exit_status()
    return Exit(None if code < 0 else code, errors.decode(errors="replace"))
