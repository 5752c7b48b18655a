"""`inv server` and `inv worker` with a pidfile: the same shim and the same start as the processes of the fleet."""

from __future__ import annotations

import os
import sys
from pathlib import Path

DEFAULT_PIDFILE = "tmp/pids/karafka.pid"
_START_SECONDS = 30.0


def server_argv(reference: str, groups: str) -> list[str]:
    """Give the command of one consumer process."""
    return [sys.executable, "-m", "ops", "server", "--app", reference, *(["--groups", groups] if groups else [])]


def worker_argv(reference: str, concurrency: int, *, fifo: bool) -> list[str]:
    """Give the command of one process that performs background jobs."""
    lanes = ["--fifo"] if fifo else ["--concurrency", str(concurrency)]
    return [sys.executable, "-m", "ops", "worker", "--app", reference, *lanes]


def become(argv: list[str], pid: str) -> None:
    """Replace this process by the command, which owns the pidfile for as long as it lives. Doesn't return."""
    pidfile = Path(pid).absolute()
    shim = [sys.executable, "-I", "-m", "ops.node.shim", str(_lock(pidfile)), str(pidfile), Path.cwd().name]
    sys.stdout.flush()
    os.execv(sys.executable, [*shim, "--", *argv])


def start_daemon(argv: list[str], pid: str) -> int:
    """Start the command in the background and wait until it is ready; its log lies beside the pidfile."""
    from ops.core.protocol import Event, ProcessSpec
    from ops.core.slot import SlotFiles
    from ops.node.managers.pidfile import PidfileManager
    from ops.node.occupancy import PROCESS_VARIABLE
    from ops.render.progress import Progress

    pidfile = Path(pid).absolute()
    spec = ProcessSpec(
        name=pidfile.stem,
        command=tuple(argv),
        directory=str(Path.cwd()),
        files=SlotFiles(
            pidfile=str(pidfile),
            lock=str(_lock(pidfile)),
            record=str(pidfile.with_suffix(".json")),
            status=str(pidfile.with_suffix(".status")),
            log=str(pidfile.with_suffix(".log")),
        ),
        env={**os.environ, PROCESS_VARIABLE: pidfile.stem},  # started by hand: it has what the shell has
        start_timeout_seconds=_START_SECONDS,
    )

    progress = Progress(sys.stderr)

    def say(event: Event) -> None:
        progress.event("localhost", event)

    report = PidfileManager(say).start(spec)
    progress.report("localhost", report)
    if report.pid is not None:
        print(f"process {report.pid}, pidfile {spec.files.pidfile}, log {spec.files.log}")
    return 0 if report.ok else 1


def _lock(pidfile: Path) -> Path:
    return pidfile.with_suffix(".lock")
