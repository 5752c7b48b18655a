"""`make demo`: what a newcomer sees first."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.sandbox.census import members
from ops.sandbox.pictures import EVIDENCE, TERMINAL, draw

PROJECT = Path(__file__).parents[2]


@pytest.mark.soak
@pytest.mark.timeout(400)
def test_the_demo_ends_by_itself_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    # Given a folder for it
    folder, pictures = tmp_path / "demo", tmp_path / "pictures"
    began = time.monotonic()
    # When the demo is played
    done = subprocess.run(
        [Path(sys.executable).parent / "inv", "sandbox.demo", "--dir", folder, "--picture", pictures],
        cwd=PROJECT, capture_output=True, text=True, timeout=380, check=False,
        env={key: value for key, value in os.environ.items() if not key.startswith("KARAFKA_")},
    )  # fmt: skip
    # Then it ends by itself with success
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    # And the restart under load lost and repeated nothing
    tally = re.search(r"sent (\d+), received (\d+), lost (\d+), repeated (\d+)", done.stdout)
    assert tally is not None, done.stdout
    assert int(tally[1]) > 1000
    assert (tally[3], tally[4]) == ("0", "0")
    # And it shows the commands a user would type, the death and the recovery
    for shown in ("$ inv sandbox.up", "$ inv flow", "karafka.restart", "$ kill -9", "dead", "$ inv sandbox.down"):
        assert shown in done.stdout
    # And nothing is left over
    assert not folder.exists()
    assert not members(folder)
    # And its restart is kept, with the pictures of it
    assert {path.name for path in pictures.iterdir()} == {EVIDENCE, TERMINAL, *draw(pictures)}
    print(f"the demo took {time.monotonic() - began:.0f} s")
