"""What a release reads, by its own word: its very command is run and asked, and joins nothing."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections import deque

from ops.core.deadline import Deadline
from ops.core.description import read_description
from ops.core.errors import OpsError
from ops.core.identity import Identity, boot_id, pidfd_of
from ops.core.protocol import ProcessSpec
from ops.node import ending, environment, logtail
from ops.node.ending import exit_text
from ops.node.environment import directory_of

DESCRIBE_SECONDS = 20.0
_END_SECONDS = 1.0  # how long a command may take to end after its word, or after TERM
_BLOCK_BYTES = 64 * 1024
_LINE_BYTES = 4 * 1024 * 1024


class DescribeError(OpsError):
    """A release that does not say what it reads."""


def describe(spec: ProcessSpec, lines: int, *, timeout_seconds: float = DESCRIBE_SECONDS) -> dict[str, list[str]]:
    """Run a process's command where and as a start would, and give the groups and topics that it says it reads.

    Whatever comes of it, nothing of its session is left when this returns.

    Parameters
    ----------
    lines : how many of the last lines that it printed a failure shows.

    Raises
    ------
    LaunchError, EnvFileError : the folder or the env file is in the way.
    DescribeError : it ended, or the time was over, before it said so.
    """
    directory, environ = directory_of(spec), environment.compose_description(spec)
    began = time.monotonic()
    try:
        child = subprocess.Popen(
            spec.command,
            cwd=directory,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in an argument or variable
        raise DescribeError(f"the command {spec.command[0]} could not be run in {directory}: {error}") from error
    process = Identity.of(child.pid) or Identity(child.pid, 0, boot_id())  # it may have ended by now
    said = _Said(lines)
    assert child.stdout is not None
    with child.stdout as pipe:
        try:
            _listen(pipe.fileno(), child.pid, said, Deadline(timeout_seconds))
            if said.groups is not None:
                ending.wait(process, Deadline(_END_SECONDS))
        finally:
            took = time.monotonic() - began
            ended = child.poll()
            ending.end(process, _END_SECONDS, lambda *_: None)
            child.poll()
    if said.groups is None:
        how = f"it {exit_text(ended)} after {took:.1f} s" if ended is not None else f"it was ended after {took:.1f} s"
        raise DescribeError(
            f"the release does not say what it reads: {how}{said.tail()}",
            where=spec.name,
            hint="the command must run the consumer framework of this version in the foreground",
        )
    return said.groups


class _Said:
    """What a command has printed: what it reads, once that was said, and the last lines."""

    def __init__(self, lines: int) -> None:
        self.groups: dict[str, list[str]] | None = None
        self._lines: deque[str] = deque(maxlen=lines)
        self._rest = b""

    def add(self, data: bytes) -> None:
        """Take more of it; a line without end counts as one when it is too long for memory."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        if not data or len(self._rest) > _LINE_BYTES:
            whole, self._rest = [*whole, self._rest], b""
        for raw in whole:
            line = raw.decode(errors="replace").rstrip("\r")
            found = read_description(line)
            self.groups = found if found is not None else self.groups
            if line:
                self._lines.append(logtail.cut(line))

    def tail(self) -> str:
        """Give the last lines, indented, each on a line of its own."""
        return "".join(f"\n  | {line}" for line in self._lines)


def _listen(descriptor: int, pid: int, said: _Said, deadline: Deadline) -> None:
    """Read until it was said, the command has ended and everything is read, or the deadline has passed."""
    ended = pidfd_of(pid)  # its child is not reaped yet: the number is still its own
    try:
        sources = [descriptor, ended]
        while said.groups is None and not deadline.expired:
            ready = select.select(sources, [], [], deadline.remaining)[0]
            if descriptor in ready:
                data = os.read(descriptor, _BLOCK_BYTES)
                said.add(data)
                if not data:
                    sources.remove(descriptor)  # closed or handed to nobody: only its end is left
            elif ended in ready:
                said.add(b"")  # somebody else may hold the pipe open; what it prints is not the command's
                return
    finally:
        os.close(ended)
