"""The shim every process is started through: take the slot, write the pidfile, become the command.

    python -I -m ops.node.shim LOCK PIDFILE RELEASE [--standby SECONDS] [--log FILE] [--held N] [--secrets FILE]
        -- COMMAND [ARGUMENT ...]

The slot's owner byte stays locked over exec (KARAFKA_SLOT_FD names its descriptor), so that the
command owns the slot for as long as it lives, whoever started it: this project's agent, systemd or
supervisor. A process that is in the same slot under another lock file, as an older version named it, keeps it out.
RELEASE `.` stands for the name of the folder it was started in, links resolved: a unit
or program knows no other. With `--log` its standard output and error go to that file from the exec
on; what comes on standard error before is the shim's own complaint. With `--held` it ends by the signal SIGRTMIN+N
where another process has the slot: whoever starts it tells that from an exit of the command. With `--secrets` it
reads the host's env file, and what was left for this start alone: as the user who runs the command, where systemd would
read them as root.

With `--standby` it starts a replacement for the slot's owner instead (see `ops.core.handover`): it takes the replacing
byte, writes no pidfile, and sets an alarm, which survives exec and ends a command that is not warm after SECONDS.
"""

from __future__ import annotations

import os
import signal
import sys
from enum import IntEnum
from pathlib import Path

from ops.core import deaths, handover, pidfile
from ops.core.errors import OpsError
from ops.core.identity import MARK_VARIABLE, Identity
from ops.core.locks import DESCRIPTOR_VARIABLE, Byte, SlotLock
from ops.node.occupancy import PROCESS_VARIABLE, occupants

_OPTIONS = {"--standby": "SECONDS", "--log": "FILE", "--held": "N", "--secrets": "FILE"}


class ShimExit(IntEnum):
    """How the shim ends when the command could not be run (sysexits.h, POSIX shell)."""

    USAGE = 64  # EX_USAGE
    FILES = 73  # EX_CANTCREAT: lock file, pidfile, log or env file
    HELD = 75  # EX_TEMPFAIL: another process has the slot
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127


def main(arguments: list[str]) -> int:
    """Take the slot and become the command; returns only when that failed."""
    own, command = _split(arguments)
    options = dict(zip(own[3::2], own[4::2]))
    if len(own) < 3 or len(own) % 2 == 0 or not options.keys() <= set(_OPTIONS) or not command:
        words = " ".join(f"[{name} {value}]" for name, value in _OPTIONS.items())
        return _fail(ShimExit.USAGE, f"usage: shim LOCK PIDFILE RELEASE {words} -- COMMAND [ARGUMENT ...]")
    standby, log_path = options.get("--standby"), options.get("--log")
    lock_path, pid_path, release = Path(own[0]), Path(own[1]), own[2]
    release = Path.cwd().name if release == "." else release
    _close_inherited()
    try:
        lock = SlotLock(lock_path)
    except OSError as error:
        return _fail(ShimExit.FILES, f"the lock file {lock_path} could not be opened: {error.strerror}")
    byte = Byte.REPLACING if standby else Byte.OWNER
    if not lock.try_take(byte):
        holder = lock.holder(byte)
        what = f"a replacement is already under way: process {holder}" if standby else f"process {holder} has the slot"
        return _held(f"{what} ({lock_path})", options.get("--held"))
    slot = os.environ.get(PROCESS_VARIABLE, "")
    if not standby:
        lock.name(slot)
        elsewhere = [one for one in occupants(lock_path.parent) if one.slot == slot and one.pid != os.getpid()]
        if slot and elsewhere:
            what = f"process {elsewhere[0].pid} has the slot {slot} ({elsewhere[0].lock})"
            return _held(what, options.get("--held"))
    try:
        log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640) if log_path else None
    except OSError as error:
        return _fail(ShimExit.FILES, f"the log {log_path} could not be opened: {error.strerror}")
    try:
        given = _given(options.get("--secrets"), lock_path)
    except (OSError, OpsError) as error:
        return _fail(ShimExit.FILES, f"its environment cannot be read: {error}")
    environment = {
        **os.environ,
        **given,
        handover.LOCK_VARIABLE: str(lock_path),
        handover.PIDFILE_VARIABLE: str(pid_path),
        handover.RELEASE_VARIABLE: release,
        DESCRIPTOR_VARIABLE: str(lock.keep_over_exec()),
        MARK_VARIABLE: Identity.own().mark.partition("=")[2],
    }
    environment.pop(handover.STANDBY_VARIABLE, None)
    if standby:
        environment[handover.STANDBY_VARIABLE] = str(handover.HANDOVER)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, float(standby))
        return _become(command, environment, log)
    try:
        deaths.note(lock_path.with_suffix(".deaths"), pidfile.read(pid_path), by_itself=True)
        pidfile.write(pid_path, Identity.own(), release=release)
    except OSError as error:
        return _fail(
            ShimExit.FILES, f"the pidfile {pid_path} could not be written: {error.strerror}; nothing was started"
        )
    code = _become(command, environment, log)
    pidfile.remove(pid_path, os.getpid())
    return code


def _given(secrets: str | None, lock_path: Path) -> dict[str, str]:
    """Read what a unit does not give.

    Raises
    ------
    OSError, EnvFileError : a file of it cannot be read.
    """
    if secrets is None:
        return {}
    from ops.core import envfile
    from ops.node import once

    found = envfile.read(Path(secrets), lambda text: print(text, file=sys.stderr, flush=True))
    return {**found, **once.take(lock_path.with_suffix(".once"))}


def _become(command: list[str], environment: dict[str, str], log: int | None) -> int:
    complaints = os.dup(2)
    if log is not None:
        os.dup2(log, 1)
        os.dup2(log, 2)
    # Ignored signals survive exec: Python ignores the first two, an agent the third, a script's background the others.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        os.dup2(complaints, 2)
        code = ShimExit.NOT_FOUND if isinstance(error, FileNotFoundError) else ShimExit.NOT_EXECUTABLE
        return _fail(code, f"the command {command[0]} could not be run in {Path.cwd()}: {error.strerror}")


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1 :]


def _close_inherited() -> None:
    """Close what the starter left open, so that no pipe or SSH channel hangs on the process."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:  # the listing's own descriptor
                continue


def _held(text: str, number: str | None) -> int:
    """Say that another process has the slot, and end by a signal where one is asked for."""
    _fail(ShimExit.HELD, text)
    if number is not None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGRTMIN + int(number)})
        os.kill(os.getpid(), signal.SIGRTMIN + int(number))
    return ShimExit.HELD


def _fail(code: ShimExit, text: str) -> int:
    print(text, file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
