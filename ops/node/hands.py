"""What is done with one place of a host's files: by this user where it may write there, else as root.

By root is: by `sudo -n`, or by an agent that has given root up (`ops.core.privileges`). What is written then comes from
this process's memory alone, never from a file that its user could change.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from ops.core import privileges
from ops.core.errors import OpsError
from ops.core.installation import HostFile
from ops.node import facts
from ops.node.command import Done, run
from ops.node.durable import sync_folder

RENDER_HINT = "inv templates.render KIND --out DIR writes them for an administrator to install; or systemd.sudo: true"


class Hand(Protocol):
    """Who changes a place. Everything raises an `OpsError` that names the place where it cannot be done."""

    def is_there(self, path: Path) -> bool:
        """Whether there is a file or a link; anything else that is there is an error."""
        ...

    def are_one(self, path: Path, other: Path) -> bool:
        """Whether two paths are names of one file."""
        ...

    def write(self, file: HostFile, to: Path) -> None:
        """Write a file's text, with its mode, on the disk; folders that are missing are made."""
        ...

    def link(self, path: Path, to: Path) -> None:
        """Give what is there, a link itself too, a second name; what has that name makes way."""
        ...

    def rename(self, path: Path, to: Path) -> None:
        """Rename what is there; what has that name makes way."""
        ...

    def delete(self, path: Path) -> None:
        """Remove a file; one that is gone already is fine."""
        ...

    def make_folder(self, folder: Path) -> None:
        """Make a folder, which may be there already."""
        ...

    def delete_folder(self, folder: Path) -> None:
        """Remove a folder, if it is empty."""
        ...


def hand_for(place: Path, *, sudo: bool) -> Hand:
    """Return who changes a place.

    Parameters
    ----------
    sudo : whether root does where this user may not.
    """
    if facts.may_write(place):
        return _Own(place)
    by_sudo = ("sudo", "-n") if sudo else None
    return _Root(place, () if privileges.can_be_root() else by_sudo)


class _Own:
    """This user."""

    def __init__(self, place: Path) -> None:
        self._place = str(place)

    def is_there(self, path: Path) -> bool:
        try:
            return _is_file(path)
        except OSError as error:
            raise self._trouble("cannot be looked at", error) from error

    def are_one(self, path: Path, other: Path) -> bool:
        try:
            return _are_one(path, other)
        except OSError as error:
            raise self._trouble("cannot be looked at", error) from error

    def write(self, file: HostFile, to: Path) -> None:
        try:
            make_folder(to.parent)
            to.unlink(missing_ok=True)
            descriptor = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(file.text)
                stream.flush()
                os.fchmod(descriptor, file.mode)
                os.fsync(descriptor)
        except OSError as error:
            raise self._trouble("cannot be written", error) from error

    def link(self, path: Path, to: Path) -> None:
        try:
            to.unlink(missing_ok=True)
            os.link(path, to, follow_symlinks=False)
        except OSError as error:
            raise self._trouble("cannot be linked", error) from error

    def rename(self, path: Path, to: Path) -> None:
        try:
            path.replace(to)
        except OSError as error:
            raise self._trouble("cannot be changed", error) from error
        with suppress(OSError):  # done it is; a power cut may undo it where a folder cannot be synced
            sync_folder(Path(self._place).parent)

    def delete(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise self._trouble("cannot be removed", error) from error

    def make_folder(self, folder: Path) -> None:
        try:
            make_folder(folder)
        except OSError as error:
            raise self._trouble("cannot be changed", error) from error

    def delete_folder(self, folder: Path) -> None:
        with suppress(OSError):
            folder.rmdir()

    def _trouble(self, what: str, error: OSError) -> OpsError:
        return OpsError(f"{what}: {error.strerror}; what was there is there still", where=self._place)


class _Root:
    """Root.

    Parameters
    ----------
    how : what its commands begin with; None for nobody who can be root.
    """

    def __init__(self, place: Path, how: tuple[str, ...] | None) -> None:
        self._place = place
        self._how = how

    def is_there(self, path: Path) -> bool:
        try:
            return _is_file(path)
        except OSError:
            if self._holds(str(path), "-f") or self._holds(str(path), "-L"):
                return True
            if self._holds(str(path), "-e"):
                raise _no_file(path) from None
            return False

    def are_one(self, path: Path, other: Path) -> bool:
        try:
            return _are_one(path, other)
        except OSError:
            return self._holds(str(other), str(path), "-ef")

    def write(self, file: HostFile, to: Path) -> None:
        options = ("-D", "-o", "root", "-g", "root", "-m", f"{file.mode:04o}")
        self._do("install", *options, "/dev/stdin", str(to), text=file.text)
        self._do("sync", str(to))

    def link(self, path: Path, to: Path) -> None:
        self._do("ln", "-fPT", str(path), str(to))

    def rename(self, path: Path, to: Path) -> None:
        self._do("mv", "-fT", str(path), str(to))

    def delete(self, path: Path) -> None:
        self._do("rm", "-f", str(path))

    def make_folder(self, folder: Path) -> None:
        self._do("mkdir", "-p", str(folder))

    def delete_folder(self, folder: Path) -> None:
        self._ask("rmdir", "--ignore-fail-on-non-empty", str(folder))

    def _holds(self, path: str, *words: str) -> bool:
        """Ask root what this user may not see, by test(1)."""
        done = self._ask("test", *words, path)
        if done.code and (done.errors or done.code != 1):
            raise self._trouble("test", done)
        return done.code == 0

    def _do(self, *command: str, text: str | None = None) -> None:
        done = self._ask(*command, text=text)
        if done.code:
            raise self._trouble(command[0], done)

    def _ask(self, *command: str, text: str | None = None) -> Done:
        user, where = os.geteuid(), str(self._place)
        if self._how is None:
            raise OpsError(f"user {user} may not write there", where=where, hint=RENDER_HINT)
        if others := facts.others(self._place):
            hint = f"what user {user} may not do there, root does not do either: look at {self._place.parent}"
            raise OpsError(f"root does not touch it: {others}", where=where, hint=hint)
        return run((*self._how, *command), text=text, as_root=not self._how)

    def _trouble(self, command: str, done: Done) -> OpsError:
        what = f"{' '.join((*(self._how or ()), command))}: {done.why}"
        return OpsError(what, where=str(self._place), hint=RENDER_HINT)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises
    ------
    OSError : one cannot be made.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)


def _is_file(path: Path) -> bool:
    """Whether there is a file or a link.

    Raises
    ------
    OpsError : there is something else.
    OSError : this user may not look.
    """
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
        raise _no_file(path)
    return True


def _are_one(path: Path, other: Path) -> bool:
    try:
        return os.path.samestat(path.lstat(), other.lstat())
    except FileNotFoundError:
        return False


def _no_file(path: Path) -> OpsError:
    return OpsError("is no file", where=str(path), hint="move it away")
