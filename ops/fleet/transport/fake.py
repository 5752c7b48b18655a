"""Hosts out of a script: what each of them answers, and what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.records import dataclass
from ops.fleet.transport import ERROR_BYTES, Exit, HungError, Input, Target, parts_of

DONE = Exit(0)


@dataclass(frozen=True)
class Asked:
    """What one host was asked."""

    target: Target
    command: tuple[str, ...]
    data: bytes


@dataclass(frozen=True)
class Answer:
    """What a host answers.

    Attributes
    ----------
    output : its standard output, in the parts it comes in.
    hold : waited for before the command ends; one that is not set by the deadline makes it hang.
    """

    output: Sequence[bytes] = ()
    exit: Exit = DONE
    hold: threading.Event | None = None


Host = Callable[[tuple[str, ...], bytes], Answer] | Answer | OpsError


class FakeTransport:
    """Answers for hosts as a script tells.

    Parameters
    ----------
    hosts : name -> an answer, what makes one of command and data, or the error that reaching it raises.

    Attributes
    ----------
    asked : what was asked so far, in order.
    """

    def __init__(self, hosts: Mapping[str, Host]) -> None:
        self._hosts = hosts
        self.asked: list[Asked] = []

    def execute(
        self,
        target: Target,
        command: Sequence[str],
        data: Input,
        receive: Callable[[bytes], None],
        deadline: Deadline,
    ) -> Exit:
        """Answer for one host; see `Transport`."""
        whole = b"".join(parts_of(data))
        self.asked.append(Asked(target, tuple(command), whole))
        host = self._hosts[target.name]
        if isinstance(host, OpsError):
            raise host
        answer = host(tuple(command), whole) if callable(host) else host
        for part in answer.output:
            receive(part)
        if answer.hold is not None and not answer.hold.wait(deadline.remaining):
            raise HungError(f"no answer within {in_seconds(deadline.seconds)}", where=target.name)
        return Exit(answer.exit.code, answer.exit.errors[-ERROR_BYTES:])
