"""An install on this host, by the agent's own function: what keeps it from being done leaves all as it was."""

from __future__ import annotations

from pathlib import Path

import pytest

from ops.core.installation import HostFile, InstallAnswer, InstallCall, digest
from ops.core.protocol import Request, Response, Verb
from ops.node.agent import carry_out


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def ask(shared: Path, call: InstallCall) -> Response:
    return carry_out(Request(Verb.INSTALL, "h1", (), shared=str(shared), install=call), lambda _: None)


def test_what_changed_since_it_was_looked_at_stops_it(shared: Path) -> None:
    # Given a file that somebody has written after the operator looked, and a second one
    rule, other = shared / "rule", shared / "other"
    rule.write_text("somebody's\n")
    files = (HostFile(str(other), "new\n"), HostFile(str(rule), "ours\n"))
    # When it is installed as what was seen then
    response = ask(shared, InstallCall(files, seen={str(other): "", str(rule): digest("before\n")}))
    # Then nothing was done
    assert "somebody has changed it since it was looked at" in response.error
    assert rule.read_text() == "somebody's\n"
    assert not other.exists()


def test_one_that_cannot_be_written_takes_back_the_others(shared: Path) -> None:
    # Given one file that is there, one that is to go, and one whose folder is a file
    there, gone, blocked = shared / "there", shared / "gone", shared / "blocked/file"
    there.write_text("before\n")
    gone.write_text("gone\n")
    blocked.parent.write_text("")
    files = (HostFile(str(there), "after\n"), HostFile(str(blocked), "x\n"))
    seen = {str(there): digest("before\n"), str(blocked): "", str(gone): digest("gone\n")}
    # When all are installed
    response = ask(shared, InstallCall(files, (str(gone),), seen))
    # Then it says which one, and the others are as they were
    assert f"{blocked}: cannot be written" in response.error
    assert there.read_text() == "before\n"
    assert gone.read_text() == "gone\n"


def test_what_is_installed_is_noted_and_only_that_is_removed(shared: Path) -> None:
    # Given an installed file beside somebody else's
    mine, other = shared / "rules/mine", shared / "rules/other"
    ask(shared, InstallCall((HostFile(str(mine), "ours\n"),), seen={str(mine): ""}))
    other.write_text("theirs\n")
    # When it is edited, and uninstalled
    mine.write_text("edited\n")
    response = carry_out(Request(Verb.UNINSTALL, "h1", (), shared=str(shared)), lambda _: None)
    # Then it is gone, the other one is not, and the edit is told
    assert response.installed == InstallAnswer((f"removed: {mine}",), (), (f"{mine} had been edited by hand",))
    assert not mine.exists()
    assert other.exists()
