"""A second try is for a few tests of a whole run, and tells which ones needed it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.again import main, refusal

ROOT = Path(__file__).parents[3]
WORKER = ("-n", "1", "--dist", "loadgroup")
# Nothing but what the second try knows of: other plugins take longer to load than all these tests to run
PLUGINS = "-p xdist.plugin -p tests.again"
FAILS_BESIDE_OTHERS = """
import pathlib, pytest

@pytest.mark.xdist_group("a group")
@pytest.mark.parametrize("number", range(2))
def test_at_first_it_fails(number):
    mark = pathlib.Path(f"seen-{number}")
    first = not mark.exists()
    mark.touch()
    assert not first
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose tests run with the plugin; it is the folder that commands run in."""
    for name in [one for one in os.environ if one.startswith(("PYTEST_", "COV"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_ADDOPTS", PLUGINS)
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # a run that failed keeps its folder
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = xdist_group\n")
    return tmp_path


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "pytest", "-q", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("how", "group"), [(WORKER, "@a group"), ((), "")], ids=["with workers", "one by one"])
def test_a_few_that_pass_alone_are_listed_and_fail_nothing(
    project: Path, capfd: pytest.CaptureFixture[str], how: tuple[str, ...], group: str
) -> None:
    # Given a run in which two tests of a group failed, whose notes are in a folder of its own
    (project / "test_it.py").write_text(FAILS_BESIDE_OTHERS)
    assert run(*how, "-o", "cache_dir=own").returncode == 1
    # When they are tried again
    code = main(["--cache", "own"])
    # Then they pass, and it is said of which ones that is true
    said = capfd.readouterr()
    assert code == 0, said
    assert f"Passed only alone:\n  test_it.py::test_at_first_it_fails[0]{group}\n" in said.out
    # And then there is nothing left to be tried again
    assert main(["--cache", "own"]) == 1


def test_of_more_than_three_none_is_tried_again(project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    # Given what a run with four failed tests leaves
    noted(project, *(f"test_it.py::test_it[{number}]" for number in range(4)))
    # Then they are named, and no test is run
    assert main([]) == 1
    said = capfd.readouterr()
    assert "4 tests failed, at most 3 are tried again" in said.err
    assert said.err.count("test_it.py::test_it") == 4
    assert said.out == ""


def noted(project: Path, *failed: str) -> None:
    """Leave what a run with these failed tests leaves."""
    folder = project / ".pytest_cache/v"
    for name, value in (("cache/lastfailed", dict.fromkeys(failed, True)), ("again/exit_code", 1)):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(json.dumps(value))


def test_what_fails_alone_too_fails(project: Path) -> None:
    (project / "test_it.py").write_text("def test_it():\n    assert False\n")
    noted(project, "test_it.py::test_it")
    assert main([]) == 1


@pytest.mark.parametrize("code", [None, 0, 2, 3, 4, 5, -9])
def test_a_run_that_did_not_come_to_its_end_is_not_mended_by_a_few_tests(code: int | None) -> None:
    assert refusal(code, ["tests/test_it.py::test_it"])


def test_a_run_that_failed_without_a_failed_test_is_not_mended(project: Path) -> None:
    # Given a module that cannot even be read
    (project / "test_it.py").write_text("import nothing_of_that_name\n")
    assert run(*WORKER).returncode != 0
    # Then a second try fails as well
    assert main([]) != 0


def test_a_run_whose_notes_cannot_be_written_ends_as_its_tests_do(project: Path) -> None:
    # Given a cache that cannot be written, as another user's, and the project's own settings, where warnings are errors
    (project / ".pytest_cache").write_text("")
    (project / "test_it.py").write_text("def test_it():\n    pass\n")
    settings = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(project), "-p", "pytest_timeout")
    # When tests pass, then the run does
    done = run(*settings, "test_it.py")
    assert done.returncode == 0, done.stdout + done.stderr
    # And it is no run that could be tried again
    assert main([]) == 1
