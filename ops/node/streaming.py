"""Programs that a deploy runs on a host: their output told line by line, ended at a deadline, never through a shell."""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import pidfd_of
from ops.core.offspring import Offspring
from ops.core.records import dataclass
from ops.node import logtail
from ops.node.ending import exit_text

if TYPE_CHECKING:
    import subprocess

_BLOCK_BYTES = 1 << 16
_LINE_BYTES = 1 << 20
_PART_BYTES = 1 << 16  # of a line that is told in parts
_KEPT_LINES = 20
_LOOK_SECONDS = 1.0
_GRACE_SECONDS = 2.0  # after TERM


class NotRunError(OpsError):
    """A program that could not be begun."""


class TimedOutError(OpsError):
    """A program that had not ended in time, and was ended."""


Run = Callable[..., "Ended"]
"""`run`, with whatever permit its caller has."""


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit code, negative for a signal, and its last lines."""

    code: int
    lines: tuple[str, ...]

    def require(self, what: str, hint: str = "") -> None:
        """Make sure that it went well.

        Raises
        ------
        OpsError : it did not; with its last lines.
        """
        if self.code:
            tail = "".join(f"\n  | {line}" for line in self.lines)
            raise OpsError(f"{what}: it {exit_text(self.code)}{tail}", hint=hint)


def run(
    argv: Sequence[str],
    seconds: float,
    tell: Callable[[str], None] = lambda _: None,
    *,
    directory: Path | None = None,
    env: Mapping[str, str] | None = None,
    output: int | None = None,
    program: int | None = None,
    whole: bool = False,
    permit: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a program to its end.

    Parameters
    ----------
    tell : is told each line of its output; very long ones are cut.
    env : its whole environment.
    output : where its standard output goes instead.
    program : a descriptor of what is run instead of the file `argv[0]`. A script's interpreter reads it by that.
    whole : tell what was read at once as one text of lines instead, and long lines in parts.
    permit : asked now and then; raises an OpsError where nobody wants it any more, which ends it.

    Raises
    ------
    NotRunError : it cannot be run.
    TimedOutError : it had not ended in time; with its last lines. Nothing that it started is left.
    """
    import subprocess

    lines: deque[str] = deque(maxlen=_KEPT_LINES)
    most = _PART_BYTES if whole else _LINE_BYTES
    offspring = Offspring()
    file = argv[0] if program is None else f"/proc/self/fd/{program}"
    try:
        child = subprocess.Popen(
            argv,
            executable=file,
            pass_fds=() if program is None else (program,),
            cwd=directory,
            env={**(os.environ if env is None else env), **offspring.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.STDOUT if output is None else subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        if isinstance(error, FileNotFoundError) and os.path.exists(file) and "/" in file:  # noqa: PTH110  by its name
            why = "the interpreter that its first line names is not there (as where that ends in CR LF)"
        raise NotRunError(f"{argv[0]} cannot be run: {why}", where=str(directory or "")) from error
    pipe = child.stdout or child.stderr
    assert pipe is not None

    def take(found: list[str]) -> None:
        lines.extend(logtail.cut(line) for line in found[-_KEPT_LINES:])
        for text in ["\n".join(found)] if whole else map(logtail.cut, found):
            tell(text)

    with pipe:
        try:
            in_time = _listen(pipe.fileno(), child, take, Deadline(seconds), permit, most)
        finally:
            if child.poll() is None:
                offspring.end(child.pid, _GRACE_SECONDS)
                child.wait()
    if not in_time:
        tail = "".join(f"\n  | {line}" for line in lines)
        raise TimedOutError(f"{Path(argv[0]).name} had not ended after {seconds:.1f} s{tail}")
    return Ended(child.returncode, tuple(lines))


def _listen(
    descriptor: int,
    child: subprocess.Popen[bytes],
    take: Callable[[list[str]], None],
    deadline: Deadline,
    permit: Callable[[], None],
    most: int,
) -> bool:
    """Read until it has ended; what it left behind may hold the pipe open. False when the deadline passed first."""
    ended = pidfd_of(child.pid)
    rest = b""
    try:
        sources = [descriptor, ended]
        while sources:
            ready = select.select(sources, [], [], min(deadline.remaining, _LOOK_SECONDS))[0]
            permit()
            if descriptor in ready:
                data = os.read(descriptor, _BLOCK_BYTES)
                *whole, rest = (rest + data).split(b"\n")
                if rest and (not data or len(rest) > most):
                    whole, rest = [*whole, rest], b""
                if whole:
                    take([line.decode(errors="replace").rstrip("\r") for line in whole])
                if not data:
                    sources.remove(descriptor)
            elif ended in ready:
                break
            if deadline.expired:  # also where lines come without end
                if ended not in ready:
                    return False
                break
        if rest:
            take([rest.decode(errors="replace")])
        return True
    finally:
        child.poll()
        os.close(ended)
