"""A host where root deploys what belongs to a user that root does not trust: its folder, its agent, and a canary.

The user is a number without an account that owns nothing else. The canary is root's alone: whatever that user plants
in the application's folder, root must not touch it.
"""

from __future__ import annotations

import io
import os
import shutil
import stat
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from types import TracebackType
from typing import Any, TypeVar

import psutil

from ops.core.keeping import Keeping
from ops.core.protocol import Event, ProcessSpec, Request, Response, Verb, decode_line
from ops.core.serving import STAY
from ops.core.slot import Slot, SlotFiles
from ops.fleet.setup.remote import FOLDERS
from ops.fleet.setup.wheel import own_wheel
from tests.labs.node_host import end

SERVICE = 64077  # user and group
NOBODY = 65534  # the same of an account that every machine has
PYTHON = "/usr/bin/python3"  # that every user may run
READY = (
    "import os, socket, time; s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM);"
    "s.sendto(b'READY=1', os.environ['NOTIFY_SOCKET'].replace('@', chr(0), 1)); time.sleep(300)"
)
_ANSWER_SECONDS = 40.0
_WATCH = """\
import os, sys
told = os.open({seen!r}, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def hear(event, arguments):
    if event in ("open", "compile") or event.startswith("os.") or event.startswith("shutil."):
        for one in arguments[:2]:
            if isinstance(one, (str, bytes, os.PathLike)) and os.fsencode(one).startswith(b"/tmp/"):
                os.write(told, os.fsencode(one) + b"\\n")
sys.addaudithook(hear)
"""
T = TypeVar("T")


def as_service(work: Callable[[], T], user: int = SERVICE) -> T:
    """Do something with the rights of the service user."""
    os.setegid(user)
    os.seteuid(user)
    try:
        return work()
    finally:
        os.seteuid(0)
        os.setegid(0)


class RootHost:
    """One application's folder, with a release.

    Attributes
    ----------
    root : deploy_to, the user's.
    canary : a folder of root's, with a file that is nobody else's.
    """

    def __init__(self, user: int = SERVICE) -> None:
        base = Path(tempfile.mkdtemp(prefix="karafka-tests-", dir="/tmp"))  # pytest's own are closed to others
        base.chmod(0o755)
        self.base = base
        self.root, self.canary = base / "app", base / "canary"
        self.shared = self.root / "shared"
        self.canary.mkdir(mode=0o755)
        (self.canary / "secret").write_text("SECRET=root's\n")
        (self.canary / "secret").chmod(0o600)
        (self.canary / "folder").mkdir(mode=0o755)
        (self.canary / "folder" / "file").write_text("root's\n")
        self.root.mkdir()
        os.chown(self.root, user, user)
        as_service(self._make, user)

    def _make(self) -> None:
        for folder in (
            *FOLDERS,
            "shared/units",
            "shared/rollouts",
            "releases/20260101000000",
            "releases/20260102000000",
        ):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "current").symlink_to("releases/20260101000000")

    def spec(self, **more: Any) -> ProcessSpec:
        """Make the process of slot 0."""
        slot = Slot("karafka", 0)
        own: dict[str, Any] = {
            "name": str(slot),
            "command": (PYTHON, "-c", READY),
            "directory": str(self.root / "current"),
            "files": SlotFiles.below(str(self.shared), "tmp/pids/karafka.pid", slot),
            "env_file": str(self.shared / "karafka.env"),
            "start_timeout_seconds": 5.0,
            "stop_timeout_seconds": 5.0,
            "standby": "off",
        }
        return ProcessSpec(**{**own, **more})

    def request(self, verb: Verb, **more: Any) -> Request:
        """Make a request about that process."""
        own: dict[str, Any] = {"processes": (self.spec(),), "shared": str(self.shared), "keeping": Keeping()}
        return Request(verb, "web1", **{**own, **more})

    def found(self) -> dict[str, tuple[int, int, int, int, str]]:
        """Give all that is to stay as it is: mode, owner, links and content of each file of the canary."""
        return {str(path.relative_to(self.base)): _facts(path) for path in (self.canary, *self.canary.rglob("*"))}

    def close(self) -> None:
        """End all processes, and remove all of it."""
        end(self.root, ())
        shutil.rmtree(self.base)


class RootAgent:
    """An agent of root's that stays, with a /var/lib of its own: `with RootAgent(python) as agent`.

    Parameters
    ----------
    seen : a file that is told which paths it touches, by the interpreter's own word; None for nobody.

    Attributes
    ----------
    said : what agents told that were asked once.
    """

    def __init__(self, python: Path, seen: Path | None = None) -> None:
        code = "import sys; import ops.node.__main__ as agent; sys.exit(agent.main())"
        code = f"{_WATCH.format(seen=str(seen))}{code}" if seen is not None else code
        script = 'mount -t tmpfs tmpfs /var/lib && exec "$@"'
        argv = ["unshare", "--mount", "sh", "-c", script, "sh", str(python), "-I", "-c", code, STAY]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/root")
        self.pid = self._process.pid
        self.said: list[str] = []
        self._python = python

    def __enter__(self) -> RootAgent:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, request: Request) -> Response:
        """Put a request to it, and give its response, whatever that says; one that has none in time is ended."""
        timer = Timer(_ANSWER_SECONDS, self._process.kill)
        timer.start()
        try:
            return self._ask(request)
        finally:
            timer.cancel()

    def _ask(self, request: Request) -> Response:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{request.encode()}\n".encode())
        self._process.stdin.flush()
        for line in iter(self._process.stdout.readline, b""):
            message = decode_line(line.decode()) if line.strip() else None
            if isinstance(message, Response):
                return message
        raise AssertionError(f"the agent ended with {self._process.wait()} without an answer")

    def once(self, request: Request, payload: bytes) -> Response:
        """Put a request with what follows it to an agent of its own."""
        data = f"{request.encode()}\n".encode() + payload
        argv = [str(self._python), "-I", "-m", "ops.node"]
        done = subprocess.run(argv, input=data, stdout=subprocess.PIPE, cwd="/root", timeout=60, check=True)
        messages = [decode_line(line) for line in done.stdout.decode().splitlines() if line]
        self.said += [one.detail for one in messages if isinstance(one, Event)]
        assert isinstance(messages[-1], Response)
        return messages[-1]


def _facts(path: Path) -> tuple[int, int, int, int, str]:
    facts = path.lstat()
    content = path.read_text() if stat.S_ISREG(facts.st_mode) else ""
    return facts.st_mode, facts.st_uid, facts.st_gid, facts.st_nlink, content


@contextmanager
def interpreter() -> Iterator[Path]:
    """Make an interpreter with what hosts get of the tool, in a folder that every user may read."""
    base = Path(tempfile.mkdtemp(prefix="karafka-tests-", dir="/tmp"))
    base.chmod(0o755)
    try:
        subprocess.run([PYTHON, "-m", "venv", "--without-pip", base / "venv"], check=True, timeout=60)
        site = next((base / "venv" / "lib").glob("python3*/site-packages"))
        with zipfile.ZipFile(io.BytesIO(own_wheel().content)) as wheel:
            wheel.extractall(site)
        shutil.copytree(Path(psutil.__file__).parent, site / "psutil")
        yield base / "venv" / "bin" / "python"
    finally:
        shutil.rmtree(base)
