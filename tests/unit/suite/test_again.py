"""A second try is for a few tests of a whole run, and tells which ones needed it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.again import refusal

ROOT = Path(__file__).parents[3]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-n", "1", "--dist", "loadgroup", "-p", "tests.again"]
FAILS_BESIDE_OTHERS = """
import os, pathlib, pytest

@pytest.mark.xdist_group("a group")
@pytest.mark.parametrize("number", range({count}))
def test_at_first_it_fails(number):
    mark = pathlib.Path(f"seen-{{number}}")
    first = not mark.exists()
    mark.touch()
    assert not first

def test_breaks_off():
    if {breaks}:
        os._exit(3)
"""


def run(argv: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    outer = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV"))}
    environment = {**outer, "PYTHONPATH": str(ROOT), "PYTEST_ADDOPTS": "-p tests.again"}
    return subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def project(folder: Path, count: int, breaks: bool = False) -> None:
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = xdist_group\n")
    (folder / "test_it.py").write_text(FAILS_BESIDE_OTHERS.format(count=count, breaks=breaks))


def test_a_few_that_pass_alone_are_listed_and_fail_nothing(tmp_path: Path) -> None:
    # Given a run in which two tests of a group failed
    project(tmp_path, 2)
    assert run(PYTEST, tmp_path).returncode == 1
    # When they are tried again
    done = run([sys.executable, "-m", "tests.again"], tmp_path)
    # Then they pass, and it is said of which ones that is true
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed only alone:\n  test_it.py::test_at_first_it_fails[0]@a group" in done.stdout
    # And then there is nothing left to be tried again
    assert run([sys.executable, "-m", "tests.again"], tmp_path).returncode == 1


def test_of_more_than_three_none_is_tried_again(tmp_path: Path) -> None:
    project(tmp_path, 4)
    run(PYTEST, tmp_path)
    done = run([sys.executable, "-m", "tests.again"], tmp_path)
    assert done.returncode == 1
    assert "4 tests failed, at most 3 are tried again" in done.stderr
    assert done.stderr.count("test_at_first_it_fails") == 4


def test_what_fails_alone_too_fails(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it():\n    assert False\n")
    assert run(PYTEST, tmp_path).returncode == 1
    assert run([sys.executable, "-m", "tests.again"], tmp_path).returncode == 1


@pytest.mark.parametrize("code", [None, 0, 2, 3, 4, 5, -9])
def test_a_run_that_did_not_come_to_its_end_is_not_mended_by_a_few_tests(code: int | None) -> None:
    assert refusal(code, ["tests/test_it.py::test_it"])


def test_a_run_that_failed_without_a_failed_test_is_not_mended(tmp_path: Path) -> None:
    # Given a module that cannot even be read
    (tmp_path / "test_it.py").write_text("import nothing_of_that_name\n")
    assert run(PYTEST, tmp_path).returncode != 0
    # Then a second try fails as well
    assert run([sys.executable, "-m", "tests.again"], tmp_path).returncode != 0
