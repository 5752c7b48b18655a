"""Which processes a restart of what is outdated is for, by what their host knows of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.process import ProcessSpec
from ops.core.protocol import ProcessReport
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State
from ops.node.outdated import why


def spec(root: Path) -> ProcessSpec:
    files = SlotFiles.below(str(root / "shared"), "tmp/pids/karafka.pid", Slot("karafka", 0))
    return ProcessSpec("karafka-0", ("run",), str(root / "current"), files)


def lead(root: Path, name: str) -> Path:
    """Let `current` lead to a release."""
    release = root / "releases" / name
    release.mkdir(parents=True, exist_ok=True)
    (root / "current").unlink(missing_ok=True)
    (root / "current").symlink_to(release)
    return release


@pytest.mark.parametrize(
    ("state", "release", "expected"),
    [
        (State.RUNNING, "2", ""),
        (State.RUNNING, "1", "runs release 1, current is 2"),
        (State.RUNNING, "", "it is not known which release it runs"),
        *((state, "2", f"it is {state}") for state in State if state is not State.RUNNING),
    ],
)
def test_only_what_is_proven_to_run_the_release_is_left_alone(
    tmp_path: Path, state: State, release: str, expected: str
) -> None:
    # Given a host whose current is release 2
    lead(tmp_path, "2")
    # When a process of whatever state and release is judged
    reason = why(ProcessReport("karafka-0", state, pid=2**22 + 1, release=release), spec(tmp_path))
    # Then all but one that runs with that release is due, and says why
    assert reason == expected


def test_what_a_left_replacement_is_about_to_take_over_is_due_as_nobody_knows_what_comes(tmp_path: Path) -> None:
    # Given a process of the current release, and a replacement that a rollout which broke off has left beside it
    lead(tmp_path, "2")
    report = ProcessReport(
        "karafka-0", State.RUNNING, pid=2**22 + 1, release="2", outdated="process 7 is to replace it"
    )
    # Then it is due, and the agent waits for that one
    assert why(report, spec(tmp_path)) == "process 7 is to replace it"


def test_where_current_is_no_link_to_a_release_nobody_can_tell(tmp_path: Path) -> None:
    # Given a process whose release is called current, or whose current is gone
    report = ProcessReport("karafka-0", State.RUNNING, pid=2**22 + 1, release="current")
    # Then it is due, and says so
    assert "leads to no folder" in why(report, spec(tmp_path))
    (tmp_path / "current").mkdir()
    assert "is a folder and no link" in why(report, spec(tmp_path))


@pytest.fixture
def working(tmp_path: Path) -> Iterator[int]:
    """A process that works in release 1, which is current."""
    folder = lead(tmp_path, "1")
    with subprocess.Popen([sys.executable, "-c", "input()"], cwd=folder, stdin=subprocess.PIPE) as process:
        yield process.pid
        process.kill()


def test_a_release_made_anew_by_the_same_name_is_another_one(tmp_path: Path, working: int) -> None:
    # Given a process in a release
    report = ProcessReport("karafka-0", State.RUNNING, pid=working, release="1")
    assert why(report, spec(tmp_path)) == ""
    # When its folder is removed, and made once more
    (tmp_path / "releases/1").rmdir()
    lead(tmp_path, "1")
    # Then the process is due
    assert "whose folder was removed" in why(report, spec(tmp_path))
