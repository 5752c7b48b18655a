"""The build step: by default a venv in the release, with what the project's lock and constraints say."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ops.core.deadline import Deadline
from ops.node.streaming import Run

VENV = ".venv"
_TEMPORARY = ".karafka-build"
_LOCKS = ("requirements.lock", "requirements.txt")
_CONSTRAINTS = "constraints.txt"
_PROJECTS = ("pyproject.toml", "setup.py")
UV_LOCK = "uv.lock"
_NO_DOWNLOADS = "--no-python-downloads"  # a deploy fetches what the release names, and no interpreter


def build(
    release: Path,
    argv: Sequence[str],
    env: Mapping[str, str],
    seconds: float,
    tell: Callable[[str, str], None],
    run: Run,
    oldest: tuple[int, ...] = (),
) -> str:
    """Run the build step in a release's folder.

    Parameters
    ----------
    argv : of the project's own; empty for the default one.
    oldest : the interpreter that the default one's venv has to be of at least; empty for any.

    Returns
    -------
    What was done, in words.

    Raises
    ------
    OpsError : a command fails, or the time is over; with its last lines.
    """
    deadline, began = Deadline(seconds), time.monotonic()
    commands = [list(argv)] if argv else _default(release, uv(env), oldest)
    if commands and not argv and (release / VENV).is_symlink():
        (release / VENV).unlink()  # it may lead to what all releases share
    for command in commands:
        words = " ".join(command)
        tell("building", words)
        ended = run(command, deadline.remaining, lambda line: tell("build", line), directory=release, env=env)
        ended.require(f"the build failed: {words}", hint=f"in {release}; current was not touched")
    if not commands:
        return "nothing to build: no lock, requirements, project or wheel"
    return f"built in {time.monotonic() - began:.1f} s"


@contextmanager
def temporary(release: Path) -> Iterator[str]:
    """Give a temporary folder in a release's folder, for programs that a build makes for itself and runs.

    Nothing may be run from /tmp on many hosts.
    """
    folder = release / _TEMPORARY
    folder.mkdir(mode=0o700, exist_ok=True)
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Give the environment of a build: the agent's own, less what is its interpreter's, and what the settings say."""
    own = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    # An archive may bring a .venv of its own: uv makes another one only if it is told so
    return {**own, "PYTHONUNBUFFERED": "1", "UV_VENV_CLEAR": "1", **env}


def python() -> str:
    """Give the interpreter that venvs are made with: the one that the agent's own was made with."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def uv(env: Mapping[str, str]) -> str | None:
    """Return the uv that a build with this environment uses; None for none."""
    return shutil.which("uv", path=env.get("PATH"))


def uv_finds(program: str, oldest: tuple[int, ...], env: Mapping[str, str], seconds: float, run: Run) -> bool:
    """Whether uv has an interpreter here that a venv for the app can be made of."""
    argv = [program, "python", "find", "--no-project", _NO_DOWNLOADS, _from(oldest)]
    return bool(run(argv, seconds, env=env).code == 0)


def is_too_old(oldest: tuple[int, ...]) -> bool:
    """Whether the interpreter that venvs are made with will not do."""
    return sys.version_info[: len(oldest)] < oldest


def _from(oldest: tuple[int, ...]) -> str:
    return f">={'.'.join(map(str, oldest))}"


def _default(release: Path, uv: str | None, oldest: tuple[int, ...]) -> list[list[str]]:
    """Plan the default build after what the release brings."""
    if uv is not None and (release / UV_LOCK).is_file():
        return [[uv, "sync", "--frozen", "--no-dev"]]
    lock = next((name for name in _LOCKS if (release / name).is_file()), None)
    wanted = ["-r", lock] if lock is not None else []
    wheels = sorted(path.name for path in release.glob("*.whl"))
    wanted += [f"./{name}" for name in wheels]
    if any((release / name).is_file() for name in _PROJECTS):
        wanted.append(".")
    if not wanted:
        return []
    constraints = ["-c", _CONSTRAINTS] if (release / _CONSTRAINTS).is_file() else []
    if uv is not None:
        own = [_NO_DOWNLOADS, "--python", _from(oldest)] if is_too_old(oldest) else ["--python", python()]
        return [[uv, "venv", *own, VENV], [uv, "pip", "install", *constraints, *wanted]]
    pip = [f"{VENV}/bin/python", "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--quiet"]
    return [[python(), "-m", "venv", VENV], [*pip, *constraints, *wanted]]


def needs() -> str:
    """Say what the default build lacks here; empty for nothing."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        return "its Python has no venv"
    return ""
