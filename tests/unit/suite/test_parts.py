"""What a bare machine lacks: left out with the command that brings it, or a failure in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.labs import parts
from tests.labs.parts import AS_ROOT, INSTALL, Part, require, summary

THERE = Part("a part that is there", lambda: "")
GONE = Part("a part that is not there", lambda: "not installed: nothing")
ROOTS = Part("root's part", lambda: "only root can", (INSTALL, AS_ROOT))


def test_what_is_there_is_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a pipeline, which demands everything, then a part that is there is no trouble
    monkeypatch.setenv("CI", "true")
    require(THERE)


@pytest.mark.parametrize("value", ["", "0", "false"])
def test_what_is_missing_leaves_the_test_out_on_anybodys_machine(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    # Given a machine that is no pipeline's
    monkeypatch.setenv("CI", value)
    # When a test needs what is not there, then it is left out
    with pytest.raises(pytest.skip.Exception, match=GONE.name):
        require(THERE, GONE)


@pytest.mark.parametrize("value", ["true", "1", "woodpecker"])
def test_what_is_missing_in_a_pipeline_fails_with_what_brings_it(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    # Given a pipeline
    monkeypatch.setenv("CI", value)
    # When a test needs what is not there, then it fails
    with pytest.raises(pytest.fail.Exception, match=f"not installed: nothing; bring it: {INSTALL}"):
        require(GONE)


def test_the_last_lines_count_what_was_left_out_and_say_what_brings_it_once() -> None:
    # Given tests that lacked two parts
    lines = summary([GONE, ROOTS, GONE])
    # Then each part has one line, and one command brings them all
    assert lines[1:] == [
        "  2 tests with a part that is not there (not installed: nothing)",
        "  1 test with root's part (only root can)",
        f"what brings them: {INSTALL} && {AS_ROOT}",
    ]
    # And where nothing was left out, nothing is said
    assert summary([]) == []


def test_each_part_is_told_by_its_name() -> None:
    assert len({part.name for part in parts.PARTS}) == len(parts.PARTS)


TESTS = """
import pytest
from tests.labs import parts
GONE = parts.Part("a part that is not there", lambda: "not installed: nothing")
parts.PARTS += (GONE,)

@parts.needs(GONE)
@pytest.mark.parametrize("number", range(3))
def test_needs_it(number): ...

@pytest.mark.skip(reason="of its own")
def test_skipped(): ...
"""


@pytest.mark.parametrize(("value", "code"), [("", 0), ("true", 1)])
def test_a_run_tells_it_in_its_last_lines_and_not_for_each_test(tmp_path: Path, value: str, code: int) -> None:
    # Given a run of tests that lack a part, and of one that is skipped for a reason of its own
    (tmp_path / "test_some.py").write_text(TESTS)
    # When it has ended, on somebody's machine and in a pipeline
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "tests.conftest", "-p", "no:cacheprovider",
         "--rootdir", tmp_path, "--confcutdir", tmp_path, "-c", "/dev/null", tmp_path / "test_some.py"],
        cwd=Path(__file__).parents[3], env={**os.environ, "CI": value, "PYTEST_ADDOPTS": "", "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    # Then the last lines say what was left out, or all of them have failed
    assert done.returncode == code, done.stdout + done.stderr
    *lines, last = done.stdout.splitlines()
    assert ("1 skipped" in last, "3 left out" in last, "3 errors" in last) == (True, code == 0, code == 1)
    assert "SKIPPED [1]" in done.stdout
    assert "SKIPPED [3]" not in done.stdout
    if code == 0:
        assert lines[-2:] == [
            "  3 tests with a part that is not there (not installed: nothing)",
            f"what brings them: {INSTALL}",
        ]
