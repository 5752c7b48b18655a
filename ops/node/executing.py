"""A command of the operator's, run as a process of the fleet would be, and ended when nobody listens any more."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from pathlib import Path

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.protocol import LINE, Event, ProcessSpec
from ops.core.remote_command import NOT_RUN, TIMED_OUT, ExecAnswer, ExecCall
from ops.node import environment, streaming
from ops.node.ending import exit_text
from ops.node.environment import directory_of
from ops.node.streaming import NotRunError, TimedOutError

_OUTPUT = 1
_BEAT_SECONDS = 15.0  # so that a connection that is gone is noticed where no line comes
_SIGNALLED = 128  # as shells have it

Emit = Callable[[Event], None]


def execute(spec: ProcessSpec, call: ExecCall, emit: Emit) -> ExecAnswer:
    """Run a command where and as a process would be, but in no slot.

    Parameters
    ----------
    emit : is told the lines that it writes, to either output; several in one event.

    Raises
    ------
    LaunchError, EnvFileError : the folder or the env file is in the way.
    OpsError : nobody listens any more; the command was ended.
    """
    directory, env = directory_of(spec), environment.compose_question(spec)
    audience = _Audience(emit)
    try:
        ended = streaming.run(
            call.argv,
            call.seconds,
            lambda lines: emit(Event("", LINE, lines)),
            directory=Path(directory),
            env=env,
            whole=True,
            permit=audience.require,
        )
    except NotRunError as error:
        return ExecAnswer(NOT_RUN, error.what)
    except TimedOutError:
        return ExecAnswer(TIMED_OUT, f"had not ended after {in_seconds(call.seconds)}, and was ended")
    return ExecAnswer(ended.code if ended.code >= 0 else _SIGNALLED - ended.code, exit_text(ended.code))


def permit_for_time(call: ExecCall) -> Callable[[], None]:
    """Return what refuses to wait longer for a reader than the command may take."""
    deadline = Deadline(call.seconds)

    def permit() -> None:
        if deadline.expired:
            raise OpsError(f"nobody has read for what was left of {in_seconds(call.seconds)}")

    return permit


class _Audience:
    """Who listens to the output."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._poll = select.poll()
        self._poll.register(_OUTPUT, 0)  # POLLERR and POLLHUP come unasked: the other end is gone
        self._beat = time.monotonic() + _BEAT_SECONDS

    def require(self) -> None:
        """Make sure that there is still somebody.

        Raises
        ------
        OpsError : there is nobody.
        """
        if time.monotonic() >= self._beat:
            self._beat = time.monotonic() + _BEAT_SECONDS
            self._emit(Event("", "listening"))
        if self._poll.poll(0):
            raise OpsError("nobody listens any more")
