"""The suites on every interpreter that this machine has: one line each, exit code 1 when one failed.

    python tests/interpreters.py [--venvs .venvs] [--jobs 2] [3.9 3.13 ...]

Interpreters are python3.9 to python3.14 of PATH, /usr/bin/python3 and those of pyenv. An operator's runs the whole of
tests/unit and tests/contract, an older one what hosts run. Each has a venv of its own, which is kept for the next time.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ops.core.interpreters import NEWEST, OLDEST, OLDEST_ON_HOSTS

PROJECT = Path(__file__).resolve().parent.parent
CI_WANTS = {"3.9": ((3, 9), (3, 9)), "3.11": ((3, 11), (3, 11)), "a newer one than 3.11": ((3, 12), NEWEST)}
HOST_REQUIREMENTS = PROJECT / "tests" / "requirements-hosts.txt"
HOST_SUITES = ("tests/unit/core", "tests/unit/node", "tests/unit/kafka", "tests/contract/managers")
OPERATORS_TESTS = tuple(  # of the settings and of the extras, which no host knows
    f"tests/unit/{name}.py"
    for name in (
        *(
            "core/test_accounts",
            "core/test_section",
            "core/test_tool",
            "core/test_needs",
            "core/test_keeping",
            "core/test_offspring",
        ),
        *("node/test_resident", "node/test_supervisor_conf", "node/test_way_back"),
    )
)
SUITES = ("tests/unit", "tests/contract")
MAKE_SECONDS = 300.0
SUITE_SECONDS = 900.0
END_SECONDS = 30.0  # what fixtures may take to end their processes
_ASK_SECONDS = 10.0
_ASK = """\
import json, sys, ensurepip, venv
print(json.dumps([sys.implementation.name, sys.version_info[:3], sys.version_info[3], sys._base_executable]))
"""


@dataclass(frozen=True)
class Interpreter:
    """A CPython of this machine."""

    python: str
    version: tuple[int, int, int]

    @property
    def name(self) -> str:
        """Its version as people write it."""
        return ".".join(map(str, self.version))

    @property
    def on_hosts_only(self) -> bool:
        """Whether it is too old for an operator."""
        return self.version[:2] < OLDEST


@dataclass(frozen=True)
class Ran:
    """What came of an interpreter's suites."""

    interpreter: Interpreter
    ok: bool
    said: str
    log: Path


def find() -> list[Interpreter]:
    """Return the interpreters of this machine that the project is promised to run on, the oldest first.

    Of a version that is there twice it is the first one found: venvs and logs are named by the version.
    """
    found: dict[tuple[int, int, int], Interpreter] = {}
    for python in _candidates():
        try:
            done = subprocess.run([python, "-I", "-c", _ASK], capture_output=True, timeout=_ASK_SECONDS, check=True)
            kind, numbers, level, base = json.loads(done.stdout)
        except (OSError, subprocess.SubprocessError, ValueError):
            continue  # a shim of a version that is not chosen, or one without venv
        version = (int(numbers[0]), int(numbers[1]), int(numbers[2]))
        if kind == "cpython" and level == "final" and OLDEST_ON_HOSTS <= version[:2] <= NEWEST:
            found.setdefault(version, Interpreter(base, version))
    return sorted(found.values(), key=lambda one: one.version)


def _candidates() -> Iterable[str]:
    for minor in range(OLDEST_ON_HOSTS[1], NEWEST[1] + 1):
        yield from filter(None, [shutil.which(f"python3.{minor}")])
    yield "/usr/bin/python3"
    root = _pyenv_root()
    if root is not None:
        yield from (str(path) for path in sorted(root.glob("versions/*/bin/python")))


def _pyenv_root() -> Path | None:
    """Return where pyenv keeps its interpreters; None without pyenv."""
    text = os.environ.get("PYENV_ROOT", "")
    if not text and shutil.which("pyenv"):
        asked = subprocess.run(["pyenv", "root"], capture_output=True, text=True, timeout=_ASK_SECONDS, check=False)
        text = asked.stdout.strip()
    return Path(text) if text and Path(text, "versions").is_dir() else None


def missing(interpreters: Sequence[Interpreter]) -> list[str]:
    """Return what CI wants and this machine lacks."""
    versions = [one.version[:2] for one in interpreters]
    return [
        name for name, (first, last) in CI_WANTS.items() if not any(first <= version <= last for version in versions)
    ]


def check(interpreter: Interpreter, venvs: Path) -> Ran:
    """Run an interpreter's suites in its venv, which is made first where it is not there or out of date."""
    log = venvs / f"{interpreter.name}.log"
    began = time.monotonic()
    with log.open("w") as output:
        try:
            python = make_venv(interpreter, venvs, output.fileno())
            made = time.monotonic()
            cache = venvs / f"{interpreter.name}.cache"
            shutil.rmtree(cache, ignore_errors=True)
            for command in commands(interpreter, python, cache):
                _try(command, [python, "-m", "tests.again", "--cache", str(cache)], output.fileno())
        except (OSError, subprocess.SubprocessError) as error:
            said = error.cmd if isinstance(error, subprocess.SubprocessError) else error
            return Ran(interpreter, False, f"failed: {said}", log)
    last = log.read_text(errors="replace").rstrip().splitlines()[-1].strip("= ")
    return Ran(interpreter, True, f"{last} (venv in {made - began:.0f} s)", log)


def commands(interpreter: Interpreter, python: str, cache: Path) -> Iterable[list[str]]:
    """Return what is run in an interpreter's venv; pytest's notes of it go to `cache`."""
    own = interpreter.version[:2] == OLDEST_ON_HOSTS
    if own:  # the oldest's own library as mypy knows it: no newer name, no newer parameter
        yield [python, "-m", "mypy", "--python-version", ".".join(map(str, OLDEST_ON_HOSTS)), *host_modules()]
    pytest = [python, "-m", "pytest", "-q", "-o", f"cache_dir={cache}", "-m", "not soak"]
    if interpreter.on_hosts_only:
        yield [*pytest, *(f"--ignore={path}" for path in OPERATORS_TESTS), *HOST_SUITES]
    else:
        yield [*pytest, *SUITES]


def host_modules() -> list[str]:
    """Return the modules that hosts get, as paths."""
    from ops.fleet.setup.wheel import host_files

    return [f"ops/{path}" for path in host_files() if path.endswith(".py")]


def make_venv(interpreter: Interpreter, venvs: Path, output: int) -> str:
    """Make an interpreter's venv unless it is there and up to date; returns its python."""
    wanted = (
        [HOST_REQUIREMENTS] if interpreter.on_hosts_only else [PROJECT / "pyproject.toml", PROJECT / "constraints.txt"]
    )
    state = hashlib.sha256(
        b"\0".join([interpreter.python.encode(), *(path.read_bytes() for path in wanted)])
    ).hexdigest()
    venv = venvs / interpreter.name
    mark, python = venv / "made", str(venv / "bin" / "python")
    if mark.is_file() and mark.read_text() == state:
        return python
    shutil.rmtree(venv, ignore_errors=True)
    _run([interpreter.python, "-m", "venv", str(venv)], MAKE_SECONDS, output)
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    if interpreter.on_hosts_only:
        _run([*pip, "--requirement", str(HOST_REQUIREMENTS)], MAKE_SECONDS, output)
        (library,) = venv.glob("lib/python*/site-packages")
        # pip refuses the distribution: it asks for the operator's
        (library / "checkout.pth").write_text(f"{PROJECT}\n")
    else:
        constraints = ["--constraint", str(PROJECT / "constraints.txt")]
        _run([*pip, *constraints, "--editable", f"{PROJECT}[dev]"], MAKE_SECONDS, output)
    mark.write_text(state)
    return python


def _try(argv: Sequence[str], again: Sequence[str], output: int) -> None:
    """Run one command, and the other one where tests fail: interpreters side by side starve a few of them."""
    try:
        _run(argv, SUITE_SECONDS, output)
    except subprocess.CalledProcessError:
        if "pytest" not in argv:
            raise
        _run(again, SUITE_SECONDS, output)


def _run(argv: Sequence[str], seconds: float, output: int) -> None:
    """Run one command of the project, in a process group that ends with its deadline.

    Raises
    ------
    subprocess.SubprocessError : it failed, or took too long.
    """
    with tempfile.TemporaryDirectory(prefix="ops-") as folder:
        Path(folder).chmod(0o755)  # the tests' Postgres works there as nobody
        environ = {**os.environ, "TMPDIR": folder}
        process = subprocess.Popen(
            argv, cwd=PROJECT, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0
        )
        try:
            code = process.wait(seconds)
        except BaseException:  # an interrupt, too: nothing goes on without us
            for number in (signal.SIGINT, signal.SIGKILL):
                os.killpg(process.pid, number)
                try:
                    process.wait(END_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    continue
            raise
    if code:
        raise subprocess.CalledProcessError(code, " ".join(argv[1:4]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Find, run, tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venvs", type=Path, default=PROJECT / ".venvs", help="where the venvs are kept")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="interpreters at the same time")
    parser.add_argument("versions", nargs="*", help="only those that begin with one of these, 3.9 for one")
    options = parser.parse_args(arguments)
    found = find()
    lacking = missing(found) if os.environ.get("CI") == "true" and _pyenv_root() is not None else []
    wanted = [
        one
        for one in found
        if not options.versions or f"{one.name}.".startswith(tuple(f"{v}." for v in options.versions))
    ]
    options.venvs.mkdir(parents=True, exist_ok=True)
    venvs = options.venvs.resolve()
    failed = False
    with ThreadPoolExecutor(options.jobs) as pool:
        # The long ones first, so that no core waits at the end
        for ran in pool.map(lambda one: check(one, venvs), sorted(wanted, key=lambda one: one.on_hosts_only)):
            print(f"{ran.interpreter.name:8} {'ok    ' if ran.ok else 'FAILED'} {ran.said}", flush=True)
            if not ran.ok:
                failed = True
                print("\n".join(f"    {line}" for line in ran.log.read_text(errors="replace").splitlines()[-40:]))
    if lacking:
        print(f"not here: Python {', '.join(lacking)}")
    return int(failed or bool(lacking) or not wanted)


if __name__ == "__main__":
    sys.exit(main())
