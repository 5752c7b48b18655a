"""Programs that a deploy runs on a host: their output told line by line, ended at a deadline, never through a shell."""

from __future__ import annotations

import fcntl
import os
import select
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import pidfd_of
from ops.core.offspring import Offspring
from ops.core.records import dataclass
from ops.node import logtail
from ops.node.ending import exit_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess

_BLOCK_BYTES = 1 << 16
_PIPE_BYTES = 1 << 20  # as much as any user may ask for (pipe(7)): the two ends take turns a sixteenth as often
_SET_PIPE_BYTES = 1031  # F_SETPIPE_SZ, which `fcntl` has since 3.10
_LINE_BYTES = 1 << 20
_PART_BYTES = 1 << 16  # of a line that is told in parts
_KEPT_LINES = 20
_LOOK_SECONDS = 1.0
_GRACE_SECONDS = 2.0  # after TERM


class NotRunError(OpsError):
    """A program that could not be begun."""


class _LateError(Exception):
    """What ends the reading of an output whose program's time is over."""


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
    read: Callable[[Output], None] | None = None,
    program: int | None = None,
    whole: bool = False,
    permit: Callable[[], object] = lambda: None,
) -> Ended:
    """Run a program to its end.

    Parameters
    ----------
    tell : is told each line of its output; very long ones are cut.
    env : its whole environment.
    output : where its standard output goes instead.
    read : reads its standard output instead, while it comes; what it leaves is passed over. What it raises ends the
        program, unless that has failed itself: then how it ended is the answer.
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
    apart = output is not None or read is not None
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
            stderr=subprocess.PIPE if apart else subprocess.STDOUT,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        if isinstance(error, FileNotFoundError) and os.path.exists(file) and "/" in file:  # noqa: PTH110  by its name
            why = "the interpreter that its first line names is not there (as where that ends in CR LF)"
        raise NotRunError(f"{argv[0]} cannot be run: {why}", where=str(directory or "")) from error
    pipe = child.stderr or child.stdout
    assert pipe is not None

    def take(found: list[str]) -> None:
        lines.extend(logtail.cut(line) for line in found[-_KEPT_LINES:])
        for text in ["\n".join(found)] if whole else map(logtail.cut, found):
            tell(text)

    trouble: OpsError | None = None
    with pipe, child.stdout or pipe:
        ears = _Ears(pipe.fileno(), child, take, Deadline(seconds), permit, most)
        try:
            if read is not None and child.stdout is not None:
                with suppress(OSError):  # this user has many wide pipes already
                    fcntl.fcntl(child.stdout.fileno(), _SET_PIPE_BYTES, _PIPE_BYTES)
                trouble = _read(Output(child.stdout.fileno(), ears), read)
            in_time = ears.listen()
        except _LateError:
            in_time = False
        finally:
            ears.close()
            if child.poll() is None:
                offspring.end(child.pid, _GRACE_SECONDS)
                child.wait()
    if not in_time:
        tail = "".join(f"\n  | {line}" for line in lines)
        raise TimedOutError(f"{Path(argv[0]).name} had not ended after {seconds:.1f} s{tail}")
    if trouble is not None and not child.returncode:
        raise trouble
    return Ended(child.returncode, tuple(lines))


class Output:
    """What a program says on standard output, read while it comes; standard error is listened to meanwhile."""

    def __init__(self, descriptor: int, ears: _Ears) -> None:
        self._descriptor = descriptor
        self._ears = ears
        self.at_end = False

    def readinto(self, buffer: memoryview, /) -> int:
        """Read some of it into a buffer; returns how many bytes, 0 at its end.

        Raises
        ------
        OpsError : the permit's.
        _LateError : the program's time is over.
        """
        while not self.at_end:
            ready = self._ears.turn(self._descriptor)
            if self._ears.deadline.expired:  # also where it writes without end
                raise _LateError
            if self._descriptor in ready:
                size = os.readv(self._descriptor, [buffer])
                self.at_end = not size
                return size
            # what it left behind may hold the pipe open
            self.at_end = self._ears.ended in ready
        return 0


def _read(output: Output, read: Callable[[Output], None]) -> OpsError | None:
    """Let an output be read to its end; returns what went wrong at that end, which the program may be the cause of."""
    try:
        read(output)
    except OpsError as error:
        if not output.at_end:
            raise
        return error
    rest = memoryview(bytearray(_BLOCK_BYTES))
    while output.readinto(rest):
        pass
    return None


class _Ears:
    """Listens to a program's lines until it has ended.

    Attributes
    ----------
    ended : a descriptor that is ready when it has.
    """

    def __init__(
        self,
        descriptor: int,
        child: subprocess.Popen[bytes],
        take: Callable[[list[str]], None],
        deadline: Deadline,
        permit: Callable[[], object],
        most: int,
    ) -> None:
        self.deadline = deadline
        self.ended = pidfd_of(child.pid)
        self._child = child
        self._descriptor = descriptor
        self._sources = [descriptor, self.ended]
        self._take = take
        self._permit = permit
        self._most = most
        self._rest = b""
        self._ask_at = 0.0

    def turn(self, *more: int) -> list[int]:
        """Wait a moment for lines, its end, or something else that can be read; returns what there is."""
        wait = min(self.deadline.remaining, _LOOK_SECONDS)
        ready = select.select([*self._sources, *more], [], [], wait)[0]
        now = monotonic()
        if self.ended in ready or now >= self._ask_at:  # it reads the lease: not for each part of an archive
            self._permit()
            self._ask_at = now + _LOOK_SECONDS
        if self._descriptor in ready:
            data = os.read(self._descriptor, _BLOCK_BYTES)
            *whole, rest = (self._rest + data).split(b"\n")
            if rest and (not data or len(rest) > self._most):
                whole, rest = [*whole, rest], b""
            self._rest = rest
            if whole:
                self._take([line.decode(errors="replace").rstrip("\r") for line in whole])
            if not data:
                self._sources.remove(self._descriptor)
        return ready

    def listen(self) -> bool:
        """Read until it has ended; what it left behind may hold the pipe open. False if the deadline passed first."""
        while self._sources:
            ready = self.turn()
            if self.ended in ready and self._descriptor not in ready:
                break
            if self.deadline.expired:  # also where lines come without end
                if self.ended not in ready:
                    return False
                break
        if self._rest:
            self._take([self._rest.decode(errors="replace")])
        return True

    def close(self) -> None:
        """Let go of the program, whose exit code is taken if it has ended."""
        self._child.poll()
        os.close(self.ended)
