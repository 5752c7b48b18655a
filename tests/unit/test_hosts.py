"""What hosts run keeps to the oldest interpreter that they may have."""

from __future__ import annotations

import io
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from ops.core.interpreters import NEWEST, OLDEST, OLDEST_ON_HOSTS
from ops.fleet.setup.wheel import own_wheel
from tests.interpreters import PROJECT, find

OLD = ".".join(map(str, OLDEST_ON_HOSTS))
NEWER = {
    "a match statement": "def f(x: int) -> int:\n    match x:\n        case 1:\n            return 2\n    return x\n",
    "a newer class": "from enum import StrEnum\n\n\nclass A(StrEnum):\n    B = 'b'\n",
    "a newer function": "from itertools import pairwise\n\nA = list(pairwise('ab'))\n",
    "a newer parameter": "A = list(zip('a', 'b', strict=True))\n",
    "a newer type": "from typing import Self\n\n\nclass A:\n    def __enter__(self) -> Self:\n        return self\n",
    "a group of exceptions": "try:\n    A = 1\nexcept* ValueError:\n    A = 2\n",
    "a newer module": "import tomllib\n\nA = tomllib.loads('')\n",
}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What hosts get, where it lies on a host: alone."""
    folder = tmp_path_factory.mktemp("host")
    with zipfile.ZipFile(io.BytesIO(own_wheel().content)) as archive:
        archive.extractall(folder)
    return folder


def vermin(paths: Sequence[Path]) -> subprocess.CompletedProcess[str]:
    """Look for syntax and names of the standard library that are newer than the oldest interpreter of hosts."""
    argv = [
        str(Path(sys.executable).with_name("vermin")),
        f"--target={OLD}-",
        "--no-tips",
        "--violations",
        *map(str, paths),
    ]
    return subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)


def test_what_hosts_run_has_no_newer_syntax_and_no_newer_name(unpacked: Path) -> None:
    # Given what hosts get
    # When it is looked through
    looked = vermin([unpacked])
    # Then all of it is as old as their oldest interpreter
    assert looked.returncode == 0, looked.stdout


@pytest.mark.parametrize("text", NEWER.values(), ids=NEWER)
def test_what_is_newer_is_found(tmp_path: Path, text: str) -> None:
    # Given a module of the agent that somebody wrote on a newer interpreter
    path = tmp_path / "module.py"
    path.write_text(text)
    # When it is looked through
    looked = vermin([path])
    # Then it is refused, with the version that it needs
    assert looked.returncode == 1
    assert "Minimum required versions: 3." in looked.stdout


def test_every_module_of_hosts_imports_on_the_oldest_interpreter_here(unpacked: Path) -> None:
    # Given the oldest interpreter of this machine, and nothing but what hosts get and what that requires
    python = find()[0].python
    names = [
        ".".join(path.relative_to(unpacked).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted(unpacked.glob("ops/**/*.py"))
    ]
    assert "ops.node.agent" in names
    libraries = str(Path(psutil.__file__).parents[1])  # psutil's wheel is for all interpreters, kafka-python of none
    code = (
        "import importlib, sys; sys.path[:0] = [sys.argv[1]]; sys.path.append(sys.argv[2]); "
        "[importlib.import_module(name) for name in sys.argv[3:]]"
    )
    # When each is imported
    argv = [python, "-I", "-c", code, str(unpacked), libraries, *names]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    # Then nothing in them needs a newer one
    assert done.returncode == 0, done.stderr


def test_what_pyproject_says_of_interpreters_is_what_the_tool_says() -> None:
    # Given the project's facts for pip and for ruff
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    # Then the distribution is for an operator's interpreter, and what hosts get is checked against an older one
    assert project["project"]["requires-python"] == f">={'.'.join(map(str, OLDEST))}"
    assert project["tool"]["ruff"]["target-version"] == f"py{OLDEST[0]}{OLDEST[1]}"
    targets = project["tool"]["ruff"]["per-file-target-version"]
    assert targets["ops/{core,node,kafka}/**"] == f"py{OLDEST_ON_HOSTS[0]}{OLDEST_ON_HOSTS[1]}"
    # And no classifier names another
    named = [one.rpartition(" ")[2] for one in project["project"]["classifiers"] if "Python :: 3." in one]
    assert all(OLDEST <= tuple(map(int, one.split("."))) <= NEWEST for one in named)
