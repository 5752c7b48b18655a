"""What differs between the files that the settings render for a host and those that are there."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ops.core.installation import Facts, HostFile, InstallCall, PresentFile, digest

ABSENT = "/dev/null"


@dataclass(frozen=True)
class Change:
    """One file that is not as the settings have it.

    Attributes
    ----------
    before : what is there; None for nothing.
    after : what is to be there; None for nothing.
    by_hand : somebody has edited it since an install put it there.
    secret : its text is for its owner alone (mode 0600).
    """

    path: str
    before: PresentFile | None
    after: HostFile | None
    by_hand: bool = False

    @property
    def summary(self) -> str:
        """Say what is to be done with it, and why."""
        hand = " (edited by hand)" if self.by_hand else ""
        if self.before is None:
            return f"new: {self.path}"
        if self.after is None:
            return f"to go: {self.path}{hand}"
        if self.before.trouble:
            return f"cannot be read: {self.path}: {self.before.trouble}"
        if self.before.digest == digest(self.after.text):
            return f"mode {self.before.mode:04o}, not {self.after.mode:04o}: {self.path}"
        return f"differs: {self.path}{hand}"

    def diff(self, hide: Callable[[str], str] = str) -> list[str]:
        """Give the unified diff.

        Parameters
        ----------
        hide : takes what must not be shown out of a line.
        """
        before = [hide(line) for line in (self.before.text if self.before else "").splitlines()]
        after = [hide(line) for line in (self.after.text if self.after else "").splitlines()]
        names = (self.path if self.before else ABSENT, self.path if self.after else ABSENT)
        lines = list(difflib.unified_diff(before, after, *names, lineterm=""))
        return lines or [f"--- {names[0]}", f"+++ {names[1]}", f"  ({self.summary})"]


def changes(wanted: Iterable[HostFile], facts: Facts, kind: str) -> tuple[Change, ...]:
    """Compare what the settings render with what is there; nothing for a file that is as it has to be.

    Parameters
    ----------
    kind : of manager; files that an install for another one has put there are none of this one's.
    """
    files = {one.path: one for one in wanted}
    mine = facts.installed.get(kind, {})
    found = []
    for path in dict.fromkeys((*files, *mine)):
        before, after = facts.files.get(path), files.get(path)
        if before is None and after is None:
            continue
        if before is not None and after is not None and not before.trouble:
            if (before.digest, before.mode) == (digest(after.text), after.mode):
                continue
        elif before is not None and after is not None and mine.get(path) == digest(after.text):
            continue  # as a deploying user may not read the rules of sudo: what an install has put there is believed
        by_hand = before is not None and path in mine and before.digest != mine[path]
        found.append(Change(path, before, after, by_hand))
    return tuple(found)


def call_of(wanted: Iterable[HostFile], found: Iterable[Change]) -> InstallCall:
    """Give what makes a host have what is wanted, as long as nobody changes it meanwhile."""
    changed = tuple(found)
    return InstallCall(
        files=tuple(wanted),
        remove=tuple(one.path for one in changed if one.after is None),
        seen={one.path: one.before.digest if one.before is not None else "" for one in changed},
    )
