"""What is removed with its folder, and what is left and told: nothing that a link leads to, nothing mounted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ops.node.removal import remove
from tests.labs.parts import NAMESPACES, needs

REMOVE = """
import sys
from pathlib import Path
from ops.node.removal import remove
print(remove(Path("release").absolute()))
print([path.name for path in Path(sys.argv[1]).iterdir()])
"""


def test_read_only_folders_of_ours_and_links_go_and_what_links_lead_to_stays(tmp_path: Path) -> None:
    # Given a folder with read-only and closed folders in it, deep ones, links out of it, and a name that is no text
    release, outside = tmp_path / "release", tmp_path / "outside"
    (release / "vendor/bundle").mkdir(parents=True)
    (release / "vendor/bundle/file").write_text("x")
    (release / "closed/below").mkdir(parents=True)
    (release / "/".join("d" * 200)).mkdir(parents=True)
    outside.mkdir()
    (outside / "kept").write_text("x")
    (release / "link").symlink_to(outside)
    (release / "dangling").symlink_to("nowhere")
    Path(os.fsdecode(os.fsencode(release) + b"/\xff\n")).write_text("x")
    for path, mode in (("vendor/bundle", 0o555), ("vendor", 0o555), ("closed", 0o000)):
        (release / path).chmod(mode)
    # When it is removed
    left = remove(release)
    # Then it is gone, and what the link led to is there
    assert left == ""
    assert not release.exists()
    assert (outside / "kept").exists()
    # And what is not there, or no folder, is no trouble
    assert remove(release) == ""
    (tmp_path / "file").symlink_to(outside)
    assert remove(tmp_path / "file") == ""
    assert (outside / "kept").exists()


@needs(NAMESPACES)
@pytest.mark.parametrize("mount", ["mount --bind data", "mount -t tmpfs none"])
@pytest.mark.parametrize(("place", "name"), [("release/uploads", "uploads"), ("release", "release")])
def test_what_is_mounted_there_is_left_with_all_that_is_in_it_and_told(
    tmp_path: Path, mount: str, place: str, name: str
) -> None:
    # Given a folder that has something mounted in it, or over it: of its own file system, or another one
    (tmp_path / "release/uploads").mkdir(parents=True)
    (tmp_path / "release/file").write_text("x")
    (tmp_path / "data").mkdir()
    # When it is removed
    script = f"{mount} {place} && touch {place}/kept && exec {sys.executable} -c '{REMOVE}' {place}"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    # Then what is mounted is there, told by its name, and the rest of the folder is gone
    assert done.stdout == f"'{name}': something is mounted there\n['kept']\n", done.stderr
    assert (tmp_path / "release/file").exists() == (place == "release")
