"""What a command costs: wall time, CPU and memory, as the kernel accounts for them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from ops.core.errors import OpsError

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Cost:
    """One run of a command.

    Attributes
    ----------
    cpu_seconds : user and system time of the process and of those children that it waited for.
    rss_bytes : largest resident memory of the largest of these processes. The kernel counts the moment before
        exec too, so it is never less than what the measuring process itself has.
    output : standard output and standard error.
    """

    wall_seconds: float
    cpu_seconds: float
    rss_bytes: int
    code: int
    output: str


def run(
    argv: Sequence[str],
    *,
    directory: Path,
    timeout_seconds: float,
    data: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> Cost:
    """Run a command and give its cost, whatever its exit code.

    Parameters
    ----------
    data : its standard input.
    env : added to this process's environment.

    Raises
    ------
    OpsError : it did not end in time; it and its process group have been killed.
    """
    with tempfile.TemporaryFile() as source, tempfile.TemporaryFile() as output:
        source.write(data)
        source.seek(0)
        began = monotonic()
        child = subprocess.Popen(
            argv,
            cwd=directory,
            env={**os.environ, **(env or {})},
            stdin=source,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        late = True
        try:
            late = not _ended(child.pid, timeout_seconds)
        finally:
            if late:  # or interrupted
                os.killpg(child.pid, signal.SIGKILL)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        wall = monotonic() - began
        output.seek(0)
        said = output.read(_READ_BYTES).decode(errors="replace")
        if late:
            raise OpsError(f"{' '.join(argv)} had not ended after {timeout_seconds:g} s:\n{said[-2000:]}")
        return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, child.returncode, said)


@dataclass(frozen=True)
class Contender:
    """One command to be measured.

    Attributes
    ----------
    data : its standard input.
    code : the exit code it must end with.
    expect, times : what its output must contain, at least how many times: proof that it did what it is measured for.
    """

    name: str
    argv: tuple[str, ...]
    directory: Path
    data: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    code: int = 0
    expect: str = ""
    times: int = 1
    timeout_seconds: float = 60.0

    def run(self) -> Cost:
        """Run it once.

        Raises
        ------
        OpsError : it failed.
        """
        cost = run(
            self.argv, directory=self.directory, timeout_seconds=self.timeout_seconds, data=self.data, env=self.env
        )
        found = cost.output.count(self.expect)
        if cost.code != self.code or found < self.times:
            what = f"exited with {cost.code} and said {self.expect!r} {found} times, not {self.times}"
            raise OpsError(f"{what}:\n{cost.output[-2000:]}", where=self.name)
        return cost


def take_turns(
    contenders: Sequence[Contender], rounds: int, tell: Callable[[str], None] = lambda _: None
) -> dict[str, list[Cost]]:
    """Run all contenders one after the other, `rounds` times: what slows the machine for a while hits all of them.

    Parameters
    ----------
    tell : is told of each run, one line.
    """
    costs: dict[str, list[Cost]] = {one.name: [] for one in contenders}
    for number in range(rounds):
        for one in contenders:
            cost = one.run()
            costs[one.name].append(cost)
            tell(f"round {number + 1}: {one.name}: {cost.wall_seconds:.2f} s, CPU {cost.cpu_seconds:.2f} s")
    return costs


def _ended(pid: int, timeout_seconds: float) -> bool:
    """Wait for a child's end without taking its exit status, which wait4 gives together with its cost."""
    descriptor = os.pidfd_open(pid)
    try:
        return bool(select.select([descriptor], [], [], timeout_seconds)[0])
    finally:
        os.close(descriptor)
