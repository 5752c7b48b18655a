"""Files put in place on this host, whole or not at all: where this user may write by a rename, else by `sudo -n`."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ops.core.errors import OpsError
from ops.core.installation import HostFile, PresentFile
from ops.node import facts
from ops.node.command import run
from ops.node.durable import sync_folder

RENDER_HINT = "inv templates.render KIND --out DIR writes them for an administrator to install; or systemd.sudo: true"


class Places:
    """The files of one install: what was there before is kept until it is through.

    Parameters
    ----------
    sudo : whether what this user may not write is written by `sudo -n`, as root's.
    """

    def __init__(self, *, sudo: bool) -> None:
        self._sudo = sudo
        self._before: dict[str, PresentFile | None] = {}

    def put(self, file: HostFile) -> None:
        """Put a file in place.

        Raises
        ------
        OpsError : it cannot be; what was there is there still.
        """
        path = Path(file.path)
        before = self._present(path)
        if self._may_write(path):
            _write(file)
        else:
            self._write_as_root(file)
        self._before.setdefault(file.path, before)

    def remove(self, name: str) -> None:
        """Remove a file; one that is gone already is fine.

        Raises
        ------
        OpsError : it cannot be.
        """
        path = Path(name)
        before = self._present(path)
        if before is None:
            return
        if self._may_write(path):
            try:
                path.unlink()
            except OSError as error:
                raise OpsError(f"cannot be removed: {error.strerror}", where=name) from error
        else:
            self._root("rm", "-f", name, where=name)
        self._before.setdefault(name, before)

    def put_back(self) -> list[str]:
        """Put back what was there before, the last one first; gives what could not be."""
        troubles = []
        for name, before in reversed(self._before.items()):
            try:
                if before is None:
                    self.remove(name)
                else:
                    self.put(HostFile(name, before.text, before.mode))
            except OpsError as error:
                troubles.append(str(error).splitlines()[0])
        self._before.clear()
        return troubles

    def _present(self, path: Path) -> PresentFile | None:
        """Read what is there, as root if need be: it may have to be put back."""
        found = facts.present(path)
        if found is not None and found.trouble:
            return PresentFile(self._root("cat", str(path), where=str(path)), found.mode or 0o440)
        return found

    def _may_write(self, path: Path) -> bool:
        folder = path.parent
        while not folder.exists():
            folder = folder.parent
        return os.access(folder, os.W_OK)

    def _write_as_root(self, file: HostFile) -> None:
        if not self._sudo:
            raise OpsError(f"user {os.geteuid()} may not write there", where=file.path, hint=RENDER_HINT)
        path = Path(file.path)
        temporary = str(path.with_name(f".{path.name}.{os.getpid()}"))
        with tempfile.NamedTemporaryFile("w", prefix="karafka-install-") as staged:
            staged.write(file.text)
            staged.flush()
            mode = f"{file.mode:04o}"
            self._root("install", "-D", "-o", "root", "-g", "root", "-m", mode, staged.name, temporary, where=file.path)
        try:
            self._root("sync", temporary, where=file.path)
            self._root("mv", "-fT", temporary, file.path, where=file.path)
        except OpsError:
            with suppress(OpsError):
                self._root("rm", "-f", temporary, where=file.path)
            raise

    def _root(self, *command: str, where: str) -> str:
        if not self._sudo:
            raise OpsError(f"user {os.geteuid()} may not change it", where=where, hint=RENDER_HINT)
        done = run(("sudo", "-n", *command))
        if done.code:
            raise OpsError(f"sudo -n {command[0]}: {done.why}", where=where, hint=RENDER_HINT)
        return done.out


def _write(file: HostFile) -> None:
    """Write as this user: temporary file of the right mode, fsync, rename, fsync of the folder."""
    path = Path(file.path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        make_folder(path.parent)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(file.text)
            stream.flush()
            os.fchmod(descriptor, file.mode)
            _give(temporary)
            os.fsync(descriptor)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise OpsError(
            f"cannot be written: {error.strerror}; what was there is there still", where=file.path
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises
    ------
    OSError : one cannot be made.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _give(folder)


def _give(path: Path) -> None:
    """Give what root makes to whom the folder belongs that it is made in: below deploy_to, to who deploys."""
    if os.geteuid() == 0:
        whose = path.parent.stat()
        os.chown(path, whose.st_uid, whose.st_gid)


def staged(files: Sequence[HostFile], folder: Path) -> dict[str, Path]:
    """Write files into a folder of this install's own, to be verified; gives path -> where its text is now."""
    result = {}
    for file in files:
        place = folder / file.path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(file.text)
        place.chmod(file.mode & 0o700 | 0o400)
        result[file.path] = place
    return result
