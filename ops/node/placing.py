"""Files put in place on this host, whole or not at all, and put back where not all of them can be.

What was there before is kept in a folder beside it until the install is through. It is kept itself, not a copy of what
could be read of it: so it comes back with every byte, its owner, mode, attributes and date, and a link as a link.
No manager looks into that folder. There is no *name* that all pass over: logrotate reads what begins with a dot, and an
include of supervisord's may be a bare `*`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from ops.core.errors import OpsError
from ops.core.installation import HostFile
from ops.node.hands import Hand, hand_for

BESIDE = ".karafka-install"


class Places:
    """The files of one install: what was there before is kept until they are settled or put back.

    Parameters
    ----------
    sudo : whether what this user may not write is written by `sudo -n`, as root's. An agent that has given root up
        needs no sudo for that.
    """

    def __init__(self, *, sudo: bool) -> None:
        self._sudo = sudo
        self._before: dict[Path, Path | None] = {}

    def put(self, file: HostFile) -> None:
        """Put a file in place.

        Raises
        ------
        OpsError : it cannot be; what was there is there still.
        """
        path = Path(file.path)
        hand, new, first = self._hand(path), _beside(path, ".new"), path not in self._before
        try:
            hand.write(file, new)
            if first:
                self._keep(path, hand)
            hand.rename(new, path)
        except BaseException:
            with suppress(OpsError):
                hand.delete(new)
            with suppress(OpsError):
                if first and path in self._before:
                    self._restore(path)
            self._tidy((path,))
            raise

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is fine.

        Raises
        ------
        OpsError : it cannot be.
        """
        path = Path(name)
        hand = self._hand(path)
        if path in self._before:
            hand.delete(path)
        elif hand.is_there(path):
            hand.make_folder(_beside(path).parent)
            hand.rename(path, _beside(path))
            self._before[path] = _beside(path)

    def put_back(self) -> list[str]:
        """Put back what was there before, the last one first; gives what could not be, and where it is kept."""
        troubles, places = [], tuple(self._before)
        for path in reversed(places):
            aside = self._before[path]
            try:
                self._restore(path)
            except OpsError as error:
                kept = f" (kept as {aside})" if aside is not None else ""
                troubles.append(f"{str(error).splitlines()[0]}{kept}")
        self._before.clear()
        self._tidy(places)
        return troubles

    def settle(self) -> None:
        """Let go of what was there before."""
        for path, aside in self._before.items():
            if aside is not None:
                with suppress(OpsError):  # the next install of this file takes its place
                    self._hand(path).delete(aside)
        self._tidy(self._before)
        self._before.clear()

    def _keep(self, path: Path, hand: Hand) -> None:
        """Keep what is in a place under a second name, so that the place is empty at no time."""
        if not hand.is_there(path):
            self._before[path] = None
            return
        aside = _beside(path)
        try:
            hand.link(path, aside)
        except OpsError:  # a file system without hard links, or somebody else's file in a folder of ours
            hand.rename(path, aside)
        self._before[path] = aside

    def _restore(self, path: Path) -> None:
        """Put one file back."""
        hand, aside = self._hand(path), self._before[path]
        if aside is None:
            hand.delete(path)
        elif hand.are_one(path, aside):  # nothing had taken its place
            hand.delete(aside)
        else:
            hand.rename(aside, path)
        del self._before[path]

    def _tidy(self, paths: Iterable[Path]) -> None:
        """Remove the folders beside files, unless something is still kept there."""
        for folder, path in {_beside(path).parent: path for path in paths}.items():
            with suppress(OpsError):
                self._hand(path).delete_folder(folder)

    def _hand(self, path: Path) -> Hand:
        return hand_for(path, sudo=self._sudo)


def _beside(path: Path, suffix: str = "") -> Path:
    """Return where what is in a place is kept, or what is to be there is written."""
    return path.parent / BESIDE / f"{path.name}{suffix}"


def staged(files: Sequence[HostFile], folder: Path) -> dict[str, Path]:
    """Write files into a folder of this install's own, to be verified; gives path -> where its text is now."""
    result = {}
    for file in files:
        place = folder / file.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.text, encoding="utf-8")
        place.chmod(file.mode & 0o700 | 0o400)
        result[file.path] = place
    return result
