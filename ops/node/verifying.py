"""Files verified by who is to read them, before anything is replaced."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from ops.core import keeping
from ops.core.errors import OpsError
from ops.core.keeping import Keeping
from ops.node.command import NOT_FOUND, run

_UNIT_SUFFIXES = (".service", ".target")


def verify(kept: Keeping, staged: Mapping[str, Path]) -> list[str]:
    """Let systemd, visudo and logrotate read what is staged for them.

    Returns
    -------
    What could not be verified because the program is not there.

    Raises
    ------
    OpsError : one of them complains; its words are in the text.
    """
    notes = []
    for path, place in staged.items():
        complaints = _complaints(kept, path, place)
        if complaints is None:
            notes.append(f"{path} was not verified: the program that reads it is not there")
            continue
        for complaint in complaints:
            raise OpsError(f"refused before anything was replaced: {complaint}", where=path)
    return notes


def _complaints(kept: Keeping, path: str, place: Path) -> list[str] | None:
    """Give what the file's reader says against it; None where the reader is not there."""
    if kept.kind == keeping.SYSTEMD and path.endswith(_UNIT_SUFFIXES):
        return _of_systemd(kept, place)
    if "/sudoers" in path:
        # Its mode and owner come with its place; here the text is looked at.
        done = run(("visudo", "-c", "-f", str(place)))
        if done.code == NOT_FOUND:
            return None
        said = done.errors.replace(str(place), path).splitlines() or [done.why]
        return said[:1] if done.code else []
    if "/logrotate" in path:
        done = run(("logrotate", "-d", "-s", str(place.with_suffix(".state")), str(place)))
        if done.code == NOT_FOUND:
            return None
        return [line for line in done.errors.splitlines() if line.startswith("error:")] if done.code else []
    return []


def _of_systemd(kept: Keeping, place: Path) -> list[str] | None:
    """Let `systemd-analyze verify` read a unit: it exits 0 even for unknown keys, so its words count.

    It reads what the unit pulls in, too; what it says of other units is none of ours.
    """
    scope = ("--user",) if kept.scope == "user" else ()
    done = run(("systemd-analyze", *scope, "--man=no", "verify", str(place)), 60.0)
    if done.code == NOT_FOUND:
        return None
    own = list(own_lines(done.errors, place))
    return own or ([done.why] if done.code and not done.errors.strip() else [])


def own_lines(text: str, place: Path) -> Iterator[str]:
    stem = re.escape(re.sub(r"@?\.(service|target)\Z", "", place.name))
    own = re.compile(
        rf"(?<![\w@.-]){stem}(@[\w.-]*)?\.(service|target)(?![\w@-])", re.ASCII
    )  # other names may begin so, too
    for line in text.splitlines():
        if own.search(line):
            yield line.replace(f"{place.parent}/", "").strip()
