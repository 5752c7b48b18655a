"""What this host knows of rollouts: its consumers' progress records, and the history that is kept here."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ops.core import pidfile
from ops.core.errors import OpsError
from ops.core.history import KEPT, HistoryAction, HistoryAnswer, HistoryCall
from ops.core.identity import boot_id
from ops.core.progress import path_beside
from ops.core.protocol import ProcessSpec
from ops.core.regular import content_of, opened
from ops.node.location import located

_NAME = re.compile(r"[0-9]{8}T[0-9]{6}Z-(?P<number>[0-9]{1,18})")
_PROGRESS_BYTES = 8 << 20


def progress(specs: Iterable[ProcessSpec]) -> dict[str, Any]:
    """Read what consumers wrote of their own progress, and this host's clocks beside it.

    A process without a record (a foreign command, one that was never started) is left out, with one that cannot be
    read; `processes` has the raw records by name.
    """
    records = {}
    for spec in specs:
        try:
            with os.fdopen(opened(path_beside(located(spec).files.status)), "rb") as file:
                records[spec.name] = json.loads(file.read(_PROGRESS_BYTES))
        except (OSError, ValueError, RecursionError):
            continue
    return {
        "boot_id": boot_id(),
        "boot_seconds": time.clock_gettime(time.CLOCK_BOOTTIME),
        "wall_seconds": time.time(),
        "processes": records,
    }


class History:
    """The last rollouts: a JSON file and a picture each, in `rollouts/` below shared/.

    Parameters
    ----------
    shared : the application's shared folder.
    """

    def __init__(self, shared: Path) -> None:
        self._folder = shared / "rollouts"

    def answer(self, call: HistoryCall) -> HistoryAnswer:
        """Do what is asked.

        Raises
        ------
        OpsError : it could not be stored; what is there already is untouched.
        """
        if call.action is HistoryAction.STORE:
            return self._store(call)
        if call.action is HistoryAction.LIST:
            return HistoryAnswer(names := self._names(), tuple(self._summary(name) for name in names))
        return self._fetch(call.name)

    def _store(self, call: HistoryCall) -> HistoryAnswer:
        if not _NAME.fullmatch(call.name) or call.evidence is None:
            raise OpsError(f"a rollout is stored with its evidence, under a name of its own, not {call.name!r}")
        try:
            # The picture first: what has a JSON file is there in full.
            pidfile.write_whole(self._folder / f"{call.name}.svg", call.picture)
            pidfile.write_whole(self._folder / f"{call.name}.json", json.dumps(call.evidence) + "\n")
        except OSError as error:
            raise OpsError(f"the evidence could not be stored: {error.strerror}", where=str(self._folder)) from error
        return HistoryAnswer(self._names(), message=self._prune())

    def _prune(self) -> str:
        """Remove all but the latest, and pictures without evidence."""
        kept = set(self._names()[:KEPT])
        try:
            for path in sorted(self._folder.iterdir()):  # .json before .svg
                if _NAME.fullmatch(path.stem) and path.stem not in kept and path.suffix in (".json", ".svg"):
                    path.unlink(missing_ok=True)
        except OSError as error:
            return f"old evidence could not be removed: {error.strerror}"
        return ""

    def _names(self) -> tuple[str, ...]:
        """Give the names, the latest first: by the lease's number, which clocks don't move."""
        found = []
        try:
            for path in self._folder.iterdir():
                match = _NAME.fullmatch(path.stem)
                if match and path.suffix == ".json":
                    found.append((int(match["number"]), path.stem))
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise OpsError(f"the history cannot be read: {error.strerror}", where=str(self._folder)) from error
        return tuple(name for _, name in sorted(found, reverse=True))

    def _summary(self, name: str) -> dict[str, Any]:
        try:
            data = json.loads(content_of(self._folder / f"{name}.json"))
            summary = data["summary"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return {}
        return summary if isinstance(summary, dict) else {}

    def _fetch(self, name: str) -> HistoryAnswer:
        names = self._names()
        chosen = name or next(iter(names), "")
        if chosen not in names:
            return HistoryAnswer(names, message=f"there is no rollout {chosen}" if chosen else "there is none yet")
        try:
            data = json.loads(content_of(self._folder / f"{chosen}.json"))
            picture = self._folder / f"{chosen}.svg"
            return HistoryAnswer(names, evidence=data, picture=content_of(picture).decode() if picture.exists() else "")
        except (OSError, ValueError, RecursionError) as error:
            return HistoryAnswer(names, message=f"rollout {chosen} cannot be read: {error}")
