"""One request to one host's agent: its events passed on as they come, its response, or why there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain

from ops.core.deadline import Deadline
from ops.core.errors import LockHeldError, OpsError
from ops.core.masking import SECRETS
from ops.core.protocol import SETUP_HINT, Event, Response, decode_line
from ops.fleet.agent_command import SUDO_HINT, interpreter_of, shown, sudo_refusal
from ops.fleet.plan import HostAction
from ops.fleet.transport import Exit, Followed, Input, Transport

PROTOCOL_MARK = b'{"protocol"'
_NOISE_BYTES = 256 << 10
_LINE_BYTES = 16 << 20
_SHOWN_CHARACTERS = 200
_NOT_FOUND_CODES = (126, 127)
_MISSING = re.compile(r"not found|No such file|ModuleNotFoundError|No module named", re.IGNORECASE)


class AgentError(OpsError):
    """A host that was reached but has no agent that answers."""


class NotSetUpError(AgentError):
    """A host without this tool."""


def ask(transport: Transport, action: HostAction, emit: Callable[[Event], None]) -> Response:
    """Ask a host's agent.

    Parameters
    ----------
    emit : is told the agent's events, in this thread.

    Raises
    ------
    UnreachableError, HungError : as `Transport.execute`.
    NotSetUpError : the tool is not there.
    LockHeldError : the lease it is asked under has gone to somebody else.
    AgentError : something else than an agent answered, or it died.
    ProtocolError : the agent is of another version.
    """
    listener = _Listener(emit)
    data = _input(f"{action.request.encode()}\n".encode(), action)
    end = transport.execute(action.target, action.agent, data, listener.feed, Deadline(action.deadline_seconds))
    listener.feed(b"\n")
    if listener.response is None:
        raise _diagnose(end, listener.noise, action)
    if listener.response.stale:
        raise LockHeldError(listener.response.error, where=action.target.name)
    if listener.response.error and not listener.response.processes:
        raise AgentError(listener.response.error, where=action.target.name)
    return listener.response


def _input(request: bytes, action: HostAction) -> Input:
    """Return what an agent is sent: its request, and what follows that."""
    if action.payload is None:
        return request
    if action.request.deploy is not None and action.request.deploy.following:
        return Followed(request, action.payload)
    return chain((request,), action.payload())


class Lines:
    """Takes a host's output apart; what a shell's start-up files print before and between our lines is noise.

    Parameters
    ----------
    mark : what each of our lines begins with.
    take : is given them.

    Attributes
    ----------
    noise : the first line that was none of ours.
    """

    def __init__(self, mark: bytes, take: Callable[[bytes], None]) -> None:
        self.noise = ""
        self._mark = mark
        self._take = take
        self._rest = b""
        self._noise_bytes = 0

    def feed(self, part: bytes) -> None:
        """Take the next part of the output.

        Raises
        ------
        AgentError : it is endless garbage.
        """
        *lines, self._rest = (self._rest + part).split(b"\n") if b"\n" in part else (self._rest + part,)
        for line in lines:
            self._line(line)
        ours = self._rest.startswith(b"{")
        if len(self._rest) > _LINE_BYTES or self._noise_bytes + len(self._rest) * (not ours) > _NOISE_BYTES:
            raise AgentError(f"endless output that is no agent's: {self.noise or shorten(self._rest[:1000])!r}")

    def _line(self, line: bytes) -> None:
        if line.startswith(self._mark):
            self._take(line)
        elif line:  # an empty one is ours: each line begins with its own
            self._noise_bytes += len(line) + 1
            self.noise = self.noise or shorten(line)


class _Listener(Lines):
    """Takes an agent's output apart."""

    def __init__(self, emit: Callable[[Event], None]) -> None:
        super().__init__(PROTOCOL_MARK, self._message)
        self.response: Response | None = None
        self._emit = emit

    def _message(self, line: bytes) -> None:
        message = decode_line(line.decode(errors="replace"))
        if isinstance(message, Event):
            self._emit(message)
        else:
            self.response = message


def shorten(text: bytes) -> str:
    """Give the begin of a line that somebody else wrote, fit to be shown."""
    hidden = SECRETS.hide(text.decode(errors="replace"))
    plain = "".join(one if one.isprintable() else " " for one in hidden).strip()
    return plain if len(plain) <= _SHOWN_CHARACTERS else f"{plain[:_SHOWN_CHARACTERS]} ..."


def _diagnose(end: Exit, noise: str, action: HostAction) -> AgentError:
    where = action.target.name
    errors = [line for line in end.errors.splitlines() if line.strip()]
    last = shorten(errors[-1].encode()) if errors else ""
    if refusal := sudo_refusal(action.agent, last):
        return AgentError(refusal, where=where, hint=SUDO_HINT)
    if end.code in _NOT_FOUND_CODES or (end.code != 0 and _MISSING.search(end.errors)):
        return NotSetUpError(
            f"karafka-ops is not set up here: {last or interpreter_of(action.agent)}",
            where=where,
            hint="fab karafka.setup",
        )
    ended = "the connection broke or a signal ended it" if end.code is None else f"exit code {end.code}"
    said = "; ".join([*([f"it says {noise!r}"] if noise else []), *([f"on standard error {last!r}"] if last else [])])
    return AgentError(
        f"the agent gave no answer ({ended}){': ' + said if said else ''}",
        where=where,
        hint=f"{SETUP_HINT}; what runs there: {shown(action.agent)}",
    )
