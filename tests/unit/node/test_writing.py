"""What a process has open for writing."""

from __future__ import annotations

import os
from pathlib import Path

from ops.node.writing import written_files


def test_files_that_are_open_for_writing_are_told_by_the_names_of_the_settings(tmp_path: Path) -> None:
    # Given an application's folder that a link leads to, and files of it and elsewhere, open in several ways
    real, link, other = tmp_path / "disk/shared", tmp_path / "srv", tmp_path / "other"
    real.mkdir(parents=True)
    link.symlink_to(tmp_path / "disk")
    for name in ("written", "appended", "both", "read", "gone"):
        (real / name).touch()
    other.touch()
    with (
        (real / "written").open("w"),
        (real / "appended").open("a"),
        (real / "both").open("r+"),
        (real / "read").open(),
        (real / "gone").open("w"),
        other.open("w"),
        Path(os.devnull).open("w"),
    ):
        (real / "gone").unlink()
        # When this process is looked at
        found = set(written_files(os.getpid(), str(link / "shared")))
        # Then those that are written to are told, below shared/ by the name that the settings have for it
        mine = {one for one in found if one.startswith(str(tmp_path))}
        assert mine == {*(f"{link}/shared/{name}" for name in ("written", "appended", "both")), str(other)}
    # And of a process that is no more nothing
    assert written_files(2**22 + 1, str(link)) == ()
