"""The program that supervisor runs for each process: it gives supervisor what supervisor has not.

    python -I -m ops.node.wrapper --process NAME --directory D --lock L --pidfile P --record R --status S --log G
        --env-file E --secrets E --readiness notify|alive --start-timeout S --stop-timeout S [--watchdog S]
        -- COMMAND [ARGUMENT ...]

It writes into the log, and starts the command through the shim in a process of its own, with a socket for READY=1. It
writes down how far that got (`ops.node.wrapped`), for an agent that waits. A process that is not ready in time, or
makes no progress (watchdog), is ended. TERM, INT and QUIT end the process: TERM, and KILL after the stop timeout; other
signals are passed on. It ends with the process's own exit code, 128 + N for a signal.

The process never outlives it: the kernel kills it when the wrapper is gone (PR_SET_PDEATHSIG), and ends the wrapper as
supervisor would when supervisord is gone. So no orphan holds the slot.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ops.core import pidfile, supervisor
from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.core.locks import Byte, holder_of
from ops.core.notify import NotifySocket
from ops.core.process import ProcessSpec
from ops.core.records import replace
from ops.core.slot import SlotFiles
from ops.node import child, ending
from ops.node.ending import Ending
from ops.node.environment import directory_of
from ops.node.wrapped import ENDED, Stage, Wrapped

_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
_PASSED_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGCONT)
_USAGE, _FAILED = 64, 1
_SWEEP_SECONDS = 1.0


class Wrapper:
    """One process and all that is done about it, from its start to its end. Once a program: it takes the signals.

    Parameters
    ----------
    watchdog_seconds : WATCHDOG=1 has to come within so long once it is ready; None for never.
    """

    def __init__(self, spec: ProcessSpec, watchdog_seconds: float | None) -> None:
        self._spec = spec
        self._watchdog_seconds = watchdog_seconds
        self._began = time.monotonic()
        self._note = Wrapped(Stage.STARTING, Identity.own())
        self._notify = NotifySocket()
        self._inbox, self._waker = socket.socketpair()
        self._waker.setblocking(False)
        for number in (*_STOPS, *_PASSED_ON, signal.SIGCHLD):
            signal.signal(number, _heard)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        child.end_with_parent(signal.SIGTERM)

    def run(self) -> int:
        """Start the process and stay until it has ended; gives the exit code."""
        try:
            self._until_free()
            self._clear()
            directory = directory_of(self._spec)
            environ = child.composed(self._spec, self._notify.address, self._watchdog_seconds)
            process = child.spawn(self._spec, directory, environ)
        except OpsError as error:
            print(error, file=sys.stderr, flush=True)
            self._write(replace(self._note, stage=Stage.FAILED, how=str(error)))
            return _FAILED
        self._note = replace(self._note, process=process)
        self._write(self._note)
        stage, ended = self._watch(process)
        took = self._took()
        if ended is None:  # by itself; not waited for yet, so that nobody else gets its number
            ended = ending.sweep(Ending(True, ""), process, Deadline(_SWEEP_SECONDS), _say)
        code = os.waitstatus_to_exitcode(os.waitpid(process.pid, 0)[1])
        ended = replace(ended, how=ended.how or f"it {ending.exit_text(code)} after {took}")
        if stage is Stage.STOPPED:
            with suppress(OSError):
                pidfile.remove(Path(self._spec.files.pidfile), process.pid)
        self._write(replace(self._note, stage=stage, how=str(ended), left=ended.left))
        return (code if code >= 0 else 128 - code) or (_FAILED if stage is Stage.FAILED else 0)

    def _until_free(self) -> None:
        """Give the process before this one, which was killed a moment ago, the time to let go of the slot."""
        lock = Path(self._spec.files.lock)
        Deadline(supervisor.KILL_SECONDS).poll(lambda: holder_of(lock, Byte.OWNER) is None)

    def _clear(self) -> None:
        """End what is left of the process before this one, whose wrapper was killed with it."""
        before = Wrapped.read(Path(self._spec.files.wrapped))
        if before is not None and before.process is not None and before.stage not in ENDED:
            ending.sweep(Ending(True, ""), before.process, Deadline(_SWEEP_SECONDS), _say)

    def _watch(self, process: Identity) -> tuple[Stage, Ending | None]:
        """Stay with the process until it has ended; gives how where it was ended from here, else None."""
        watched: list[Any] = [self._inbox, self._notify]
        limit: Deadline | None = Deadline(self._ready_seconds())
        while True:
            ended = _has_ended(process.pid)  # SIGCHLD comes by the inbox; what it said last is read all the same
            timeout = 0.0 if ended else None if limit is None else limit.remaining
            readable = select.select(watched, [], [], timeout)[0]
            if self._inbox in readable and self._obey(process):
                return Stage.STOPPED, ending.end(process, self._spec.stop_timeout_seconds, _say)
            if self._notify in readable:  # READY=1 counts, even if it was the last word
                limit = self._hear(process, limit)
            elif ended:
                return self._unasked(), None
            if limit is not None and limit.expired:
                if self._spec.readiness == "notify":
                    return self._unasked(), self._give_up(process, limit)
                limit = self._ready("alive")

    def _unasked(self) -> Stage:
        return Stage.DIED if self._note.stage is Stage.READY else Stage.FAILED

    def _obey(self, process: Identity) -> bool:
        """Pass signals on; whether the process is to end."""
        numbers = self._inbox.recv(64)
        if any(number in _STOPS for number in numbers):
            return True
        for number in set(numbers) - {signal.SIGCHLD}:
            process.send(signal.Signals(number))
        return False

    def _hear(self, process: Identity, limit: Deadline | None) -> Deadline | None:
        """Take one message of the process; gives by when the next thing has to happen."""
        said = self._notify.receive(process.pid, Deadline(0)) or {}
        starting = self._note.stage is Stage.STARTING
        if starting and "STATUS" in said:
            self._note = replace(self._note, status=said["STATUS"])
            self._write(self._note)
        if starting and said.get("READY") == "1":
            return self._ready("ready")
        return self._fed() if not starting and said.get("WATCHDOG") == "1" else limit

    def _ready(self, word: str) -> Deadline | None:
        self._note = replace(self._note, stage=Stage.READY, how=f"{word} after {self._took()}")
        self._write(self._note)
        from ops.node import session  # noqa: F401  its time is spent here rather than at the end

        return self._fed()

    def _fed(self) -> Deadline | None:
        return None if self._watchdog_seconds is None else Deadline(self._watchdog_seconds)

    def _give_up(self, process: Identity, limit: Deadline) -> Ending:
        """End a process that has not done in time what it had to."""
        ready = self._note.stage is Stage.READY
        why = f"it was not ready within {in_seconds(limit.seconds)}"
        why = f"it made no progress for {in_seconds(limit.seconds)} (watchdog)" if ready else why
        print(f"process {process.pid} is ended: {why}", file=sys.stderr, flush=True)
        ended = ending.end(process, supervisor.GIVE_UP_SECONDS, _say)
        return replace(ended, how=f"{why}; {ended.how}")

    def _ready_seconds(self) -> float:
        if self._spec.readiness == "notify":
            return self._spec.start_timeout_seconds
        from ops.node.inspection import ALIVE_SECONDS

        return ALIVE_SECONDS

    def _took(self) -> str:
        return f"{time.monotonic() - self._began:.1f} s"

    def _write(self, note: Wrapped) -> None:
        """Write down how far it is; a full disk is no reason to end a process that works."""
        try:
            note.write(Path(self._spec.files.wrapped))
        except OSError as error:
            print(f"{self._spec.files.wrapped} could not be written: {error.strerror}", file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Wrap one process."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    names, values, command = arguments[:at:2], arguments[1:at:2], arguments[at + 1 :]
    options = dict(zip(names, values))
    try:
        if "--log" in options:
            _write_to(Path(options["--log"]))
        watchdog = options.pop("--watchdog", None)
        spec = ProcessSpec(
            name=options.pop("--process"),
            command=tuple(command),
            directory=options.pop("--directory"),
            files=SlotFiles(
                **{name: options.pop(f"--{name}") for name in ("lock", "pidfile", "record", "status", "log")}
            ),
            env=child.own_environment(Path(options.pop("--env-file"))),
            env_file=options.pop("--secrets"),
            readiness=options.pop("--readiness"),
            start_timeout_seconds=float(options.pop("--start-timeout")),
            stop_timeout_seconds=float(options.pop("--stop-timeout")),
        )
        if options or not command:
            raise ValueError(f"no option: {' '.join(options)}" if options else "no command")
    except (KeyError, ValueError) as error:
        print(f"usage: see ops.node.wrapper: {error}", file=sys.stderr)
        return _USAGE
    except OpsError as error:
        print(error, file=sys.stderr)
        return _FAILED
    except OSError as error:
        how = f"the log {error.filename} could not be opened: {error.strerror}"
        if "--lock" in options:
            Wrapped(Stage.FAILED, Identity.own(), how=how).write(Path(options["--lock"]).with_suffix(".wrapped"))
        print(how, file=sys.stderr)
        return _FAILED
    return Wrapper(spec, float(watchdog) if watchdog else None).run()


def _write_to(log: Path) -> None:
    """Let this process, and with it the command, write into the log: what supervisord opens it may open as root."""
    log.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _heard(number: int, frame: object) -> None:
    """Do nothing: the wake-up descriptor has the number."""


def _say(step: str, detail: str) -> None:
    """Say only what is not usual."""
    if step in ("killed", "swept"):
        print(f"{step}: {detail}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(exit_code)  # somebody waits for it, and nothing is left to be tidied up
