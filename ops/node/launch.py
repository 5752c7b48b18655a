"""Launching one process: through the shim, detached, and watched until it is ready."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from ops.core.amounts import in_seconds
from ops.core.deadline import POLL_SECONDS, Deadline
from ops.core.identity import Identity
from ops.core.notify import NotifySocket
from ops.core.protocol import ProcessSpec
from ops.core.records import dataclass
from ops.node import environment
from ops.node.ending import Say, exit_text
from ops.node.environment import LaunchError, directory_of
from ops.node.inspection import ALIVE_SECONDS

_SHIM_END_SECONDS = 2.0


@dataclass(frozen=True)
class Readiness:
    """How waiting for a process ended.

    Attributes
    ----------
    ready : it is.
    how : in words.
    ended : it has ended.
    exit_code : of one that has ended; negative for a signal.
    status : what it said of itself beside READY=1.
    """

    ready: bool
    how: str
    ended: bool = False
    exit_code: int | None = None
    status: str = ""


class Launch:
    """One start of a process. Its socket is open for as long as the launch is: `with Launch(spec) as launch`.

    Parameters
    ----------
    standby_seconds : start it as the replacement of the slot's owner, which ends if it is not warm by then.
    """

    def __init__(self, spec: ProcessSpec, *, standby_seconds: float | None = None) -> None:
        self.spec = spec
        self._options = ["--log", spec.files.log]
        if standby_seconds is not None:
            self._options += ["--standby", f"{standby_seconds:g}"]
        self._deadline = Deadline(spec.start_timeout_seconds)
        self._began = time.monotonic()
        self._socket = NotifySocket()
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Launch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.__exit__(kind, error, trace)
        if self._child is not None and self._child.poll() is None:
            self._child.returncode = 0  # it lives on without us: no warning about a child nobody waited for

    def spawn(self) -> Identity:
        """Start the command and give its identity as soon as it is executed.

        Raises
        ------
        LaunchError : the folder, the env file, the slot, the pidfile or the command itself is in the way.
        """
        spec = self.spec
        directory = directory_of(spec)
        environ = environment.compose(spec, notify_address=self._socket.address if spec.readiness == "notify" else "")
        shim = [sys.executable, "-I", "-m", "ops.node.shim", spec.files.lock, spec.files.pidfile, Path(directory).name]
        reader, writer = os.pipe()
        try:
            Path(spec.files.log).parent.mkdir(parents=True, exist_ok=True)
            self._child = subprocess.Popen(
                [*shim, *self._options, "--", *spec.command],
                cwd=directory,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL byte in an argument or variable
            os.close(reader)
            raise LaunchError(f"it could not be started: {error}") from error
        finally:
            os.close(writer)
        identity = Identity.of(self._child.pid)
        with os.fdopen(reader, "rb") as pipe:
            complaint = self._complaint(pipe.fileno(), self._child)
        if complaint and Deadline(_SHIM_END_SECONDS).poll(
            lambda: self._child is not None and self._child.poll() is not None
        ):
            raise LaunchError(complaint)
        if identity is None:
            raise LaunchError(f"the shim {self._exit()}")
        return identity

    def _complaint(self, descriptor: int, child: subprocess.Popen[bytes]) -> str:
        """Give what the shim says; nothing when it became the command, which closes the pipe in silence."""
        text = b""
        while select.select([descriptor], [], [], self._deadline.remaining)[0]:
            part = os.read(descriptor, 4096)
            if not part:
                break
            text += part
        else:
            os.killpg(child.pid, signal.SIGKILL)
            return f"the shim was not done within {in_seconds(self.spec.start_timeout_seconds)}"
        return text.decode(errors="replace").strip()

    def wait_ready(self, process: Identity, say: Say) -> Readiness:
        """Wait until the process says READY=1, or for "alive" until it has lived for a second."""
        if self.spec.readiness != "alive":
            return self.wait_for("READY", "ready", process, self._deadline, say)
        settled = Deadline(min(ALIVE_SECONDS, self._deadline.remaining))
        while not settled.expired:
            if self._child is not None and self._child.poll() is not None:
                return self._ended()
            time.sleep(POLL_SECONDS)
        return Readiness(True, f"alive after {self._took()}")

    def wait_for(self, field: str, word: str, process: Identity, deadline: Deadline, say: Say) -> Readiness:
        """Wait until the process says FIELD=1.

        Parameters
        ----------
        word : what it is then.
        """
        while True:
            if self._child is not None and self._child.poll() is not None:
                return self._ended()
            said = self._socket.receive(process.pid, Deadline(min(POLL_SECONDS, deadline.remaining)))
            status = said.get("STATUS", "") if said else ""
            if said and said.get(field) == "1":
                return Readiness(True, f"{word} after {self._took()}", status=status)
            if status:
                say("status", status)
            if said is None and deadline.expired:
                return Readiness(False, f"it was not {word} within {in_seconds(deadline.seconds)}")

    def _ended(self) -> Readiness:
        code = self._child.returncode if self._child is not None else None
        return Readiness(False, f"it {self._exit()} after {self._took()}", ended=True, exit_code=code)

    def _took(self) -> str:
        return f"{time.monotonic() - self._began:.1f} s"

    def _exit(self) -> str:
        code = self._child.poll() if self._child is not None else None
        return "did not end" if code is None else exit_text(code)
