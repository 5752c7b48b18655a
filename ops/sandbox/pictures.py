"""What the demo's restart leaves for the README: its evidence and its terminal, and a picture of each.

The pictures are made of the recorded files alone, so that a test can draw them again.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from ops.core.errors import OpsError
from ops.core.evidence import Evidence
from ops.render.screen import screen
from ops.render.timeline import timeline

EVIDENCE, TERMINAL = "restart.json", "terminal.txt"
TITLE = "a rolling restart under load"
HOLDER = "you@laptop"
"""Who did it, in the evidence that is kept: the name of whose machine it was is nobody's business."""
SLOTS = 3
"""Of the restart's slots, so many are shown in the excerpt."""
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def draw(folder: Path) -> dict[str, str]:
    """Return the pictures of a folder's recorded files, by file name.

    Raises
    ------
    OpsError : a recorded file is missing or cannot be read.
    """
    try:
        evidence = Evidence.from_json(json.loads((folder / EVIDENCE).read_text(encoding="utf-8")))
        shown = (folder / TERMINAL).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise OpsError(str(error), where=str(folder), hint="make picture") from None
    return {"restart.svg": timeline(evidence), "terminal.svg": screen(shown.rstrip("\n"), TITLE)}


def keep(folder: Path, evidence: Evidence, shown: str) -> None:
    """Write the recorded files and their pictures.

    Parameters
    ----------
    shown : all that the terminal showed; an excerpt of it is kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = replace(evidence, holder=HOLDER).as_json()
    (folder / EVIDENCE).write_text(f"{json.dumps(data, indent=1)}\n", encoding="utf-8")
    (folder / TERMINAL).write_text(f"{excerpt(shown)}\n", encoding="utf-8")
    for name, picture in draw(folder).items():
        (folder / name).write_text(picture, encoding="utf-8")


def excerpt(shown: str) -> str:
    """Return about 25 lines of a restart and what follows it; lines in dim say how many were left out.

    Kept are the first process, the first gate, the restart's figures, its first slots, and what was run after it.
    """
    blocks = [block.rstrip().split("\n") for block in re.split(r"\n(?:[^\S\n]*\n)+", shown.strip("\n"))]
    kept = _beginning(blocks[0])
    dropped = 0
    for block in blocks[1:]:
        start = _ESCAPES.sub("", block[0])
        if start.startswith(("PARTITION", "kept as")):
            dropped += len(block)
            continue
        shows = 1 + SLOTS if start.startswith("SLOT") else len(block)
        kept += [*_left_out(dropped), "", *block[:shows]]
        dropped = len(block[shows:])
    return "\n".join(line.rstrip() for line in [*kept, *_left_out(dropped)])


def _beginning(lines: list[str]) -> list[str]:
    """Return what leads to the first process that is ready, and the first gate's answer."""
    gate = next((row for row, line in enumerate(lines) if " gate after " in line), len(lines) - 1)
    ready = next((row for row, line in enumerate(lines[:gate]) if ": ready" in line), gate - 1)
    between, after = lines[ready + 1 : gate], lines[gate + 1 :]
    return [*lines[: ready + 1], *_left_out(len(between)), lines[gate], *_left_out(len(after))]


def _left_out(lines: int) -> list[str]:
    return [f"\x1b[2m[... {lines} more lines]\x1b[0m"] if lines else []
