"""A process of the sandbox: in a session of its own, with a log file, known by its identity."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from ops.core import pidfile
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import Identity

MARKER = "KARAFKA_SANDBOX"  # in the environment of every process of a sandbox: the folder it belongs to
KILL_SECONDS = 10.0
_children: dict[int, subprocess.Popen[bytes]] = {}  # kept so that this process reaps what it started


@atexit.register
def _let_live() -> None:
    """Say that what lives on is meant to: else Python warns of each child that nobody waited for."""
    for child in _children.values():
        if child.poll() is None:
            child.returncode = 0


@dataclass(frozen=True)
class Daemon:
    """One background process.

    Attributes
    ----------
    name : for messages, and of its log file and pidfile.
    identity : which process it is; a recycled pid is never touched.
    directory : where its log file and pidfile are.
    """

    name: str
    identity: Identity
    directory: Path

    @classmethod
    def spawn(cls, name: str, argv: Sequence[str], *, directory: Path, env: Mapping[str, str] | None = None) -> Daemon:
        """Start a process detached from this one's terminal and streams, in `directory`.

        Parameters
        ----------
        env : added to this process's environment.

        Raises
        ------
        OpsError : it ended at once, or there is no such program.
        """
        directory.mkdir(parents=True, exist_ok=True)
        log = directory / f"{name}.log"
        with log.open("ab") as output:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **(env or {}), MARKER: str(directory)},
                cwd=directory,
                start_new_session=True,
            )
        _children[child.pid] = child
        identity = Identity.of(child.pid)
        if identity is None:
            raise OpsError(f"{name} exited with {child.wait()}: {tail(log)}", where=str(log))
        pidfile.write(directory / f"{name}.pid", identity)
        return cls(name, identity, directory)

    @classmethod
    def load(cls, record: Mapping[str, Any]) -> Daemon:
        """Take one from what `record` gave."""
        return cls(record["name"], Identity(**record["identity"]), Path(record["directory"]))

    def record(self) -> dict[str, Any]:
        """Give all there is to know as JSON data."""
        return {"name": self.name, "identity": asdict(self.identity), "directory": str(self.directory)}

    @property
    def log(self) -> Path:
        """Its standard output and standard error."""
        return self.directory / f"{self.name}.log"

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.identity.alive()

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False when it has ended."""
        return self.identity.send(number)

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """End it: TERM, wait, KILL; whatever state it is in, stopped by a signal too."""
        end([self.identity], timeout_seconds)
        pidfile.remove(self.directory / f"{self.name}.pid", self.identity.pid)

    def rss_bytes(self) -> int:
        """Give its resident memory; 0 when it has ended."""
        try:
            return int(psutil.Process(self.identity.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            return 0


def end(processes: Sequence[Identity], timeout_seconds: float) -> None:
    """End processes side by side: TERM, wait for all of them, KILL the rest.

    Raises
    ------
    OpsError : one survived its KILL.
    """
    for one in processes:
        if one.send(signal.SIGTERM):
            one.send(signal.SIGCONT)  # one that SIGSTOP holds can't take the TERM
    if not Deadline(timeout_seconds).poll(lambda: not _alive(processes)):
        for one in _alive(processes):
            one.send(signal.SIGKILL)
    if not Deadline(KILL_SECONDS).poll(lambda: not _alive(processes)):
        pids = ", ".join(str(one.pid) for one in _alive(processes))
        raise OpsError(f"process {pids} does not end, not even by KILL", hint="is it waiting for a disk?")
    for one in processes:
        reap(one.pid)


def reap(pid: int, within_seconds: float = 0.0) -> int | None:
    """Return the exit code of an ended child of this process and forget it; None for any other process.

    Parameters
    ----------
    within_seconds : how long to wait for it; a process of many threads counts as ended a little earlier.
    """
    child = _children.get(pid)
    if child is None:
        return None
    try:
        code = child.wait(within_seconds)
    except subprocess.TimeoutExpired:
        return None
    del _children[pid]
    return code


def tail(log: Path, lines: int = 15) -> str:
    """Give the last lines of a log file; empty where there is none."""
    with suppress(FileNotFoundError):
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    return ""


def _alive(processes: Sequence[Identity]) -> list[Identity]:
    return [one for one in processes if one.alive()]
