"""How a command gets onto a host: one protocol, three ways of keeping it.

`ssh.SSHTransport` is the real one; `local.LocalTransport` runs the command on this machine, `fake.FakeTransport`
answers from a script. One contract suite holds for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError
from ops.core.records import dataclass

ERROR_BYTES = 4096  # of standard error are kept, the last ones


@dataclass(frozen=True)
class Followed:
    """A request that says how many bytes follow it, and those; in parts as any input.

    Attributes
    ----------
    parts : makes what follows.
    """

    request: bytes
    parts: Callable[[], Iterable[bytes]]

    def __iter__(self) -> Iterator[bytes]:
        yield self.request
        yield from self.parts()


Input = bytes | Iterable[bytes]
"""A command's standard input: whole, or in parts that are made as it takes them."""


def parts_of(data: Input) -> Iterator[bytes]:
    """Give an input in parts."""
    return iter((data,) if isinstance(data, bytes) else data)


@dataclass(frozen=True)
class Target:
    """Where a host is reached.

    Attributes
    ----------
    name : its key in the inventory.
    address : what SSH is given: a name, an address, or a `Host` of ssh_config.
    port, user : None for what ssh_config or Fabric's settings say.
    """

    name: str
    address: str
    port: int | None = None
    user: str | None = None


@dataclass(frozen=True)
class Exit:
    """How a command ended.

    Attributes
    ----------
    code : its exit code; None when a signal ended it or the connection broke first.
    errors : the end of its standard error.
    """

    code: int | None
    errors: str = ""


class HungError(UnreachableError):
    """A command that had not ended at its deadline."""


class Transport(Protocol):
    """The way to the hosts; used from several threads at once."""

    def execute(
        self,
        target: Target,
        command: Sequence[str],
        data: Input,
        receive: Callable[[bytes], None],
        deadline: Deadline,
    ) -> Exit:
        """Run one command on one host.

        Parameters
        ----------
        command : argv; quoted here, once.
        data : all of its standard input.
        receive : is given its standard output as it comes, in this thread; what it raises ends the command's channel
            and is passed on.

        Raises
        ------
        UnreachableError : the host could not be asked.
        HungError : the deadline passed first; the command may go on.
        """
        ...
