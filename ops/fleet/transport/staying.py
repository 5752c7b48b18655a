"""Agents that stay for the next request: a command of many steps starts one a host, and not one for each step."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from paramiko.channel import Channel
from paramiko.ssh_exception import SSHException

from ops.core.deadline import Deadline
from ops.core.serving import STAY
from ops.fleet.transport import Exit, HungError, Input, Target
from ops.fleet.transport.failures import explain
from ops.fleet.transport.ssh import Line, SSHTransport, listen

PROGRAMS = ("ops.node", "ops.kafka")
"""The modules that stay: a host's agent, and who asks the cluster from there."""
_LAST = re.compile(rb'\{"protocol": \d+, "kind": "(response|answer)"')


@dataclass(frozen=True)
class _Agent:
    """One that waits for a request."""

    line: Line
    channel: Channel


class StayingAgents:
    """A transport whose agents stay; what is no agent, or sends more than a request, is passed on as it is.

    One agent answers one request at a time: those that are asked side by side are several. They end with this process,
    whose connections are their standard input. One that ended before it took a request up is followed by another.
    """

    def __init__(self, ssh: SSHTransport) -> None:
        self._ssh = ssh
        self._lock = threading.Lock()
        self._idle: dict[tuple[Target, tuple[str, ...]], list[_Agent]] = {}

    def execute(
        self,
        target: Target,
        command: Sequence[str],
        data: Input,
        receive: Callable[[bytes], None],
        deadline: Deadline,
    ) -> Exit:
        """Put one request to a host's agent; see `Transport`. One that stays is told as exit code 0."""
        if not isinstance(data, bytes) or command[-1] not in PROGRAMS:
            return self._ssh.execute(target, command, data, receive, deadline)
        place = (target, tuple(command))
        while True:
            agent, waited = self._take(place)
            end, taken = self._put(place, agent, data, receive, deadline)
            if taken or not waited:
                return end or Exit(0)

    def _put(
        self,
        place: tuple[Target, tuple[str, ...]],
        agent: _Agent,
        data: bytes,
        receive: Callable[[bytes], None],
        deadline: Deadline,
    ) -> tuple[Exit | None, bool]:
        """Put a request to an agent, which is kept where it stays; gives the same as `_exchange`."""
        stays = False
        try:
            end, taken = _exchange(agent.channel, data, receive, deadline)
            stays = end is None
            return end, taken
        except TimeoutError:
            raise HungError(
                f"no answer within {deadline.seconds:g} s; what it had begun may go on there",
                where=agent.line.way.where,
                hint=f"look at the host: ssh {place[0].address}",
            ) from None
        except (SSHException, EOFError, OSError) as error:
            raise explain(error, agent.line.way) from error
        finally:
            if stays:
                with self._lock:
                    self._idle.setdefault(place, []).append(agent)
            else:
                agent.line.close()

    def _take(self, place: tuple[Target, tuple[str, ...]]) -> tuple[_Agent, bool]:
        """Give an agent that waited and still stands, else a new one, and whether it waited.

        Raises
        ------
        UnreachableError : the host cannot be reached.
        """
        while True:
            with self._lock:
                idle = self._idle.get(place)
                agent = idle.pop() if idle else None
            if agent is None:
                target, command = place
                return _Agent(*self._ssh.begin(target, (*command, STAY))), False
            if not agent.channel.closed and not agent.channel.eof_received:
                return agent, True
            agent.line.close()


def _exchange(
    channel: Channel, data: bytes, receive: Callable[[bytes], None], deadline: Deadline
) -> tuple[Exit | None, bool]:
    """Send a request, pass on the output up to its response.

    Gives how the agent ended, None where it stays, and whether it may have taken the request up: its first line says
    that it did, so that an orderly end without one means that it did not.

    Raises
    ------
    TimeoutError : the deadline passed.
    """
    rest, heard = b"", False

    def answered(part: bytes) -> bool:
        nonlocal rest, heard
        heard = True
        *lines, rest = (rest + part).split(b"\n")
        return any(_LAST.match(line) for line in lines)

    channel.settimeout(max(deadline.remaining, 0.001))
    try:
        channel.sendall(data)
    except TimeoutError:
        raise
    except OSError:  # it has ended: what it said is still to be read
        pass
    end = listen(channel, receive, answered, deadline)
    return end, heard or not channel.eof_received
