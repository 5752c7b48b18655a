"""The releases of an application on this host: folders, what is noted of each, and where `current` leads.

A record is written before its folder is made, and says `whole` last: whatever ends in between leaves what the next
deploy knows as unfinished. `current` is switched by rename(2).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ops.core import retention
from ops.core.errors import OpsError
from ops.core.records import replace
from ops.core.release import Release, ReleaseState, is_newer, is_release_name
from ops.node import durable, removal, turn
from ops.node.turn import Permit

FOLDER = "releases"
RECORDS = "releases"  # below shared/
_LOCK_SECONDS = 60.0


class Releases:
    """The releases below one `deploy_to`."""

    def __init__(self, deploy_to: Path) -> None:
        self.root = deploy_to
        self.shared = deploy_to / "shared"
        self.folder = deploy_to / FOLDER
        self._records = self.shared / RECORDS
        self._link = deploy_to / "current"

    @contextmanager
    def locked(self, permit: Permit) -> Iterator[None]:
        """Be the only one to change releases.

        Raises
        ------
        LockHeldError : the lease has gone; see `ops.node.turn`.
        OpsError : somebody else is at it for too long.
        """
        with turn.alone(self._records / ".lock", "the releases", _LOCK_SECONDS, permit):
            yield

    def path(self, name: str) -> Path:
        """Give the folder of a release."""
        return self.folder / name

    def current(self) -> str:
        """Give the release that `current` leads to; empty for none, or for something else than a release."""
        target = Path(os.path.realpath(self._link))
        own = self._link.is_symlink() and target.parent == self.folder.resolve() and is_release_name(target.name)
        return target.name if own else ""

    def all(self) -> tuple[Release, ...]:
        """Give all releases, by name; one whose record is lost in a crash is told by its folder.

        A link is none, nor what has a name that none has. A record whose folder is gone is a release that is being
        removed: nothing goes back to it, and the next deploy removes its record.
        """
        names = {path.name for path in self.folder.iterdir()} if self.folder.is_dir() else set()
        noted = {path.stem for path in self._records.glob("*.json")} if self._records.is_dir() else set()
        known = [self.get(name) for name in sorted(names | noted) if is_release_name(name)]
        gone = {one.name for one in known if not self._is_there(one.name)}
        return tuple(
            replace(one, state=ReleaseState.REMOVING)
            if one.name in gone and one.state is not ReleaseState.UPDATING
            else one
            for one in known
            if one.name not in gone or one.name in noted
        )

    def get(self, name: str) -> Release:
        """Give what is noted of a release."""
        broken = Release(name, ReleaseState.BAD, reason="its record is damaged")
        try:
            found = durable.read(self._records / f"{name}.json", Release, Release(name), broken)
        except OpsError as error:  # another user's: one record must not keep all others from being read
            return replace(broken, reason=f"its record {error.what}")
        return found if found.name == name else broken

    def note(self, release: Release) -> None:
        """Write down how a release is."""
        durable.write(self._records / f"{release.name}.json", release)

    def begin(self, release: Release) -> Path:
        """Make the folder of a new release.

        Raises
        ------
        OpsError : there is one by that name.
        """
        path = self.path(release.name)
        if path.exists():
            raise OpsError("there is such a release already", where=str(path))
        self.note(replace(release, state=ReleaseState.UPDATING, made_at=time.time()))
        path.mkdir(parents=True)
        return path

    def complete(self, name: str) -> None:
        """Note that a release is whole."""
        self.note(replace(self.get(name), state=ReleaseState.WHOLE))

    def publish(self, name: str, *, leaving: str = "", reason: str = "") -> str:
        """Let `current` lead to a release; done twice, the second time changes nothing.

        Parameters
        ----------
        leaving : a release that is bad from now on, for a reason.

        Returns
        -------
        What it led to.

        Raises
        ------
        OpsError : the release is not there, or not whole.
        """
        there = {one.name: one for one in self.all()}
        release = there.get(name)
        if release is None or release.state in (ReleaseState.UPDATING, ReleaseState.REMOVING) or not release.built:
            raise OpsError(f"release {name} is not there, or not whole", where=str(self.folder))
        before = self.current()
        if before != name:
            if not leaving or is_newer(name, before):
                good = before in there and there[before].good
                previous = before if good else retention.previous_of(tuple(there.values()), before)
            elif release.published_at:
                previous = release.previous
            else:  # gone back to one that nobody here has published, as Capistrano's: never to what is left
                previous = retention.previous_of(tuple(there.values()), name)
            self.note(
                replace(release, state=ReleaseState.WHOLE, reason="", previous=previous, published_at=time.time())
            )
            self._switch(name)
        if leaving and self.path(leaving).is_dir():
            self.mark(leaving, reason)
        return before

    def revert(self, name: str, reason: str) -> str:
        """Let `current` lead to what it led to before a release, which is bad from now on where there is a reason.

        Returns
        -------
        The release it leads to now.

        Raises
        ------
        OpsError : there is nothing to go back to.
        """
        target = self.current()
        if target == name:
            target = retention.previous_of(self.all(), name)
            if not target:
                raise OpsError(
                    f"there is no good release before {name} to go back to; current stays", where=str(self.root)
                )
            self._switch(target)
        if reason and self.path(name).is_dir():
            self.mark(name, reason)
        return target

    def mark(self, name: str, reason: str) -> None:
        """Note that a release is bad."""
        release = self.get(name)
        if release.state is not ReleaseState.UPDATING:  # that one is nobody's to go back to anyway
            self.note(replace(release, state=ReleaseState.BAD, reason=reason))

    def spoil(self, name: str, reason: str) -> None:
        """Note that the build of a release has failed: it is kept for a look at it, and nothing leads to it."""
        self.note(replace(self.get(name), state=ReleaseState.BAD, reason=reason, built=False))

    def remove(self, name: str) -> str:
        """Remove a release; broken off, the next deploy goes on with it.

        Returns
        -------
        What is left of it, and why, in words; empty for nothing. What is left is no release any more.
        """
        release, record = self.get(name), self._records / f"{name}.json"
        try:
            if release.state is not ReleaseState.UPDATING:  # a full disk must not keep what is unfinished from going
                self.note(replace(release, state=ReleaseState.REMOVING))
                self._bridge(name)
            left = removal.remove(self.path(name))
            if left:
                self.note(replace(release, state=ReleaseState.REMOVING, reason=f"left: {left}"))
            else:
                with suppress(FileNotFoundError):
                    record.unlink()
        except (OpsError, OSError) as error:
            left = f"{record}: {error.strerror if isinstance(error, OSError) else error.what}"
        return f"release {name} could not be removed: {left}" if left else ""

    def _bridge(self, name: str) -> None:
        """Let the ways back that lead over a release lead to what is behind it: its record will be gone."""
        there = self.all()
        for one in there:
            if one.previous == name:
                self.note(replace(self.get(one.name), previous=retention.previous_of(there, name)))

    def busy(self) -> frozenset[str]:
        """Give the releases that a living process works in."""
        root, found = str(self.folder.resolve()), set()
        for process in os.listdir("/proc"):  # noqa: PTH208  a host has hundreds of them
            if process.isdigit():
                with suppress(OSError):  # it has ended, or is somebody else's
                    folder = os.readlink(f"/proc/{process}/cwd")  # noqa: PTH115
                    if folder.startswith(f"{root}/"):
                        found.add(folder.removeprefix(f"{root}/").split("/")[0])
        return frozenset(found)

    def _is_there(self, name: str) -> bool:
        path = self.path(name)
        return path.is_dir() and not path.is_symlink()

    def _switch(self, name: str) -> None:
        """Point the link at a release by rename(2), so that at no time it leads nowhere."""
        temporary = self.root / f".current.{os.getpid()}"
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(Path(FOLDER) / name)
        try:
            temporary.replace(self._link)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OpsError(f"current cannot be switched: {error.strerror}", where=str(self._link)) from error
        durable.sync_folder(self.root)
