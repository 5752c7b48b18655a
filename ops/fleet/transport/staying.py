"""Agents that stay for the next request: a command of many steps starts one a host, and not one for each step."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

from ops.core.deadline import Deadline
from ops.core.records import dataclass
from ops.core.serving import STAY
from ops.fleet.transport import Exit, Followed, Input, Target
from ops.fleet.transport.failures import explain
from ops.fleet.transport.lines import Line, hung, listen
from ops.fleet.transport.ssh import SSHTransport

PROGRAMS = ("ops.node", "ops.kafka")
"""The modules that stay: a host's agent, and who asks the cluster from there."""
_MOST_IDLE = 32  # of all hosts together: each is a connection, for the hosts between as well
_LAST = re.compile(rb'\{"protocol": \d+, "kind": "(response|answer)"')

_Place = tuple[Target, tuple[str, ...]]
"""A host, and the argv of what stays there."""


@dataclass(frozen=True)
class _Agent:
    """One that waits for a request."""

    line: Line
    channel: Channel


class StayingAgents:
    """A transport whose agents stay; what is no agent, or is sent more than its request tells, is passed on as it is.

    One agent answers one request at a time: those that are asked side by side are several. They end with this process,
    whose connections are their standard input, or by `close`. One that ended before it took a request up is followed by
    another, and so is one that does not say that it is there.
    """

    def __init__(self, ssh: SSHTransport) -> None:
        self._ssh = ssh
        self._lock = threading.Lock()
        self._idle: list[tuple[_Place, _Agent]] = []  # those that have waited longest first

    def execute(
        self,
        target: Target,
        command: Sequence[str],
        data: Input,
        receive: Callable[[bytes], None],
        deadline: Deadline,
    ) -> Exit:
        """Put one request to a host's agent; see `Transport`. One that stays is told as exit code 0."""
        if not isinstance(data, (bytes, Followed)) or command[-1] not in PROGRAMS:
            return self._ssh.execute(target, command, data, receive, deadline)
        place = (target, tuple(command))
        while True:
            agent, waited, rest = self._take(place, deadline)
            end, taken = self._put(place, agent, data, receive, rest)
            if taken or not waited:
                return end or Exit(0)

    def _put(
        self,
        place: _Place,
        agent: _Agent,
        data: bytes | Followed,
        receive: Callable[[bytes], None],
        deadline: Deadline,
    ) -> tuple[Exit | None, bool]:
        """Put a request to an agent, which is kept where it stays; gives the same as `_exchange`."""
        stays = False
        try:
            with agent.line.within(deadline):
                end, taken = _exchange(agent.channel, data, receive, deadline)
            stays = end is None
            return end, taken
        except TimeoutError:
            raise hung(agent.line, place[0], deadline) from None
        except (SSHException, EOFError, ConnectionError) as error:
            raise explain(error, agent.line.way) from error
        finally:
            if stays:
                self._keep(place, agent)
            elif deadline.expired:
                agent.line.hop.cut()
            else:
                agent.line.close()

    def __enter__(self) -> StayingAgents:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let all agents end that wait for a request, and close what they were reached by."""
        with self._lock:
            idle, self._idle = self._idle, []
        for _, agent in idle:
            agent.line.close()
        self._ssh.close()

    def _keep(self, place: _Place, agent: _Agent) -> None:
        """Keep an agent for the next request, in the place of the one that has waited longest where there are many."""
        with self._lock:
            self._idle.append((place, agent))
            oldest = self._idle.pop(0)[1] if len(self._idle) > _MOST_IDLE else None
        if oldest is not None:
            oldest.line.close()

    def _take(self, place: _Place, deadline: Deadline) -> tuple[_Agent, bool, Deadline]:
        """Give an agent that waited and still stands, else a new one; whether it waited; and the deadline.

        Raises
        ------
        UnreachableError : the host cannot be reached.
        """
        while True:
            with self._lock:
                found = next((one for one in reversed(self._idle) if one[0] == place), None)
                if found is not None:
                    self._idle.remove(found)
            if found is None:
                target, command = place
                line, channel, rest = self._ssh.begin(target, (*command, STAY), deadline)
                return _Agent(line, channel), False, rest
            agent = found[1]
            if _stands(agent, deadline):
                return agent, True, deadline
            agent.line.hop.cut()


def _stands(agent: _Agent, deadline: Deadline) -> bool:
    """Whether an agent that waited says that it is there, within the time that connecting to it may take.

    A connection that a sleep, a changed network or a firewall has cut looks as good as any.
    """
    channel = agent.channel
    within = Deadline(min(agent.line.way.timeout_seconds, deadline.remaining))
    channel.settimeout(max(within.remaining, 0.001))
    try:
        with agent.line.within(within):
            channel.sendall(b"\n")
            return bool(channel.recv(1) == b"\n")
    except (OSError, SSHException):
        return False


def _exchange(
    channel: Channel, data: bytes | Followed, receive: Callable[[bytes], None], deadline: Deadline
) -> tuple[Exit | None, bool]:
    """Send a request, what follows it once it was taken up, and pass on the output up to its response.

    Gives how the agent ended, None where it stays, and whether it may have taken the request up: its first line says
    that it did, so that an orderly end without one means that it did not.

    Raises
    ------
    TimeoutError : the deadline passed.
    """
    rest, heard, whole = b"", False, False

    def answered(part: bytes) -> bool:
        nonlocal rest, heard, whole
        heard = True
        *lines, rest = (rest + part).split(b"\n")
        whole = whole or any(_LAST.match(line) for line in lines)
        return whole

    def taken(part: bytes) -> bool:
        answered(part)
        return True

    _send(channel, (data if isinstance(data, bytes) else data.request,), deadline)
    end = None
    if isinstance(data, Followed):
        end = listen(channel, receive, taken, deadline)
        if end is None and not whole:
            _send(channel, data.parts(), deadline)
    if end is None and not whole:
        end = listen(channel, receive, answered, deadline)
    return end, heard or not channel.eof_received


def _send(channel: Channel, parts: Iterable[bytes], deadline: Deadline) -> None:
    """Send what an agent takes; of one that has ended, what it said is still to be read.

    Raises
    ------
    TimeoutError : the deadline passed.
    """
    for part in parts:
        channel.settimeout(max(deadline.remaining, 0.001))
        try:
            channel.sendall(part)
        except TimeoutError:
            raise
        except OSError:
            return
