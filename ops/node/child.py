"""The child of a wrapper: forked into the shim, in a session of its own, never outliving its parent."""

from __future__ import annotations

import os
import pwd
import signal
import sys
from pathlib import Path
from typing import NoReturn

from ops.core import envfile
from ops.core.handover import WATCHDOG_VARIABLE
from ops.core.identity import Identity, boot_id
from ops.core.process import ProcessSpec
from ops.node import environment, once, shim
from ops.node.environment import LaunchError

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_parent(number: signal.Signals) -> None:
    """Let the kernel send this process a signal when its parent has ended."""
    import ctypes  # the standard library has no prctl

    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")


def own_environment(path: Path) -> dict[str, str]:
    """Read what the settings say of a process's environment.

    Raises
    ------
    EnvFileError : it is missing, unreadable, not of mode 0600, or malformed.
    """
    if not path.exists():
        raise envfile.EnvFileError("the env file is missing", where=str(path), hint="fab karafka.install")
    return envfile.read(path)


def composed(spec: ProcessSpec, notify_address: str, watchdog_seconds: float | None) -> dict[str, str]:
    """Compose the environment of this one start; what is for it alone is gone afterwards.

    Raises
    ------
    EnvFileError : an env file is unreadable, not of mode 0600, or malformed.
    """
    inherited = {**os.environ, **_account()}  # supervisor changes the user, not what the environment says of it
    found = environment.compose(spec, notify_address=notify_address, inherited=inherited)
    found.pop(environment.LOG_VARIABLE, None)  # supervisor has its output
    found |= once.take(Path(spec.files.once))
    if watchdog_seconds is not None:
        found[WATCHDOG_VARIABLE] = str(int(watchdog_seconds * 1_000_000))
    return found


def _account() -> dict[str, str]:
    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:  # a number alone is enough to be a user
        return {}
    return {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}


def spawn(spec: ProcessSpec, directory: str, environ: dict[str, str]) -> Identity:
    """Fork into the shim.

    A fork without exec is safe here, where there is one thread, and saves the start of an interpreter.

    Raises
    ------
    LaunchError : the kernel has no room for another process.
    """
    own = os.getpid()
    # No signal may come to the child while it has this process's handlers.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _become(own, before, spec, directory, environ)
    except OSError as error:
        raise LaunchError(f"it could not be started: {error}") from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return Identity.of(pid) or Identity(pid, 0, boot_id())  # it may have ended by now


def _become(
    parent: int, mask: set[int | signal.Signals], spec: ProcessSpec, directory: str, environ: dict[str, str]
) -> NoReturn:
    """Be the shim in the forked child, whatever happens."""
    code = 1
    try:
        os.setsid()
        end_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(code)
        signal.set_wakeup_fd(-1)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.chdir(directory)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.clear()
        os.environ.update(environ)
        own = [spec.files.lock, spec.files.pidfile, Path(directory).name]
        code = shim.main([*own, "--", *spec.command])
    except OSError as error:
        print(f"the shim could not be run: {error}", file=sys.stderr)
    finally:
        sys.stderr.flush()
        os._exit(code)
