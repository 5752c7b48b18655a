"""Archives put into a release's folder by rules of our own: the same on every Python, while the archive arrives.

What an archive says is not trusted. It is refused, by the member's name, where a member

- has an absolute name, `..` in it, or none;
- lies below a link or a file, so no link that an earlier member made leads a later one anywhere;
- is a link whose target, followed to its end, leaves the release: absolute ones are fine within it alone;
- is a hard link to what is no file of the archive before it;
- is a device, a fifo, or of a kind that is none of tar's.

What is refused, or breaks off, leaves nothing behind that could be published: the release's folder is removed.

Modes become git's: 0755 for folders and for files that their owner may execute, else 0644. An archive that a CI runner
packed under umask 077 can be run by another user that way, and no bit for set-uid, set-gid or writing by others is
taken over. Who may look into a release is decided by the release's own folder; secrets belong into shared/.
Owners are never the archive's. What root unpacks belongs to who owns deploy_to, else to who deploys.
Of times those of files are kept. Where a name comes twice the last one counts, and what a hard link shares is left.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ops.core.errors import OpsError
from ops.node.archive_paths import Lead, Parts, RefusedError, encoded, parts_of, shown_name, stays
from ops.node.ownership import owner_below
from ops.node.tarball import Readable, Tarball

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PUBLIC, _PRIVATE, _EXECUTABLE = 0o644, 0o600, 0o755
_DEEPEST = 100  # folders below each other: removing a release holds a descriptor for each
_KINDS = {
    tarfile.CHRTYPE: "a character device",
    tarfile.BLKTYPE: "a block device",
    tarfile.FIFOTYPE: "a fifo",
}


def unpack(source: Readable, name: str, release: Path, root: Path, strip: int = 0) -> None:
    """Put what an archive has into a release's folder; see `unpacking`."""
    with unpacking(release, root) as take:
        take(source, name, strip)


@contextmanager
def unpacking(release: Path, root: Path) -> Iterator[Callable[[Readable, str, int], bool]]:
    """Put what archives have into a release's folder, one after the other; links are judged by all of it.

    It gives what takes an archive in: its bytes, its name for errors, and how many leading folders of its names are
    left out; all of its members have to lie below the same ones. That says whether a folder has come with nothing in
    it.

    Parameters
    ----------
    root : deploy_to: whoever owns it owns what root unpacks.

    Raises
    ------
    OpsError : an archive is damaged, or a member is refused; it names the member.
    """
    with Tree(release, root) as tree:
        name = ""

        def take(source: Readable, called: str, strip: int) -> bool:
            nonlocal name
            name = called
            _take_all(Tarball(source, name), name, Lead(strip), tree)
            return bool(tree.hollow)

        yield take
        stray = tree.stray()
        if stray is not None:
            path, target = stray
            what = f"{shown_name(path)} is a link to {shown_name(target)}, which leads out of the release"
            raise OpsError(f"{name} cannot be unpacked: {what}")


def _take_all(tarball: Tarball, name: str, lead: Lead, tree: Tree) -> None:
    member: tarfile.TarInfo | None = None
    try:
        for member in tarball.members():
            tree.take(member, tarball, lead)
    except RefusedError as why:
        raise OpsError(f"{name} cannot be unpacked: {_shown(member)} {why}") from None
    except OSError as error:
        what = error.strerror or str(error)
        raise OpsError(f"{name} cannot be unpacked: {_shown(member)}: {what}") from error


def write(parts: Iterable[bytes], name: str, release: Path, root: Path) -> None:
    """Write a file of ours into a release: what the archive has there makes way and is not followed.

    Raises
    ------
    OpsError : it cannot be written.
    """
    with Tree(release, root) as tree:
        try:
            tree.file((os.fsencode(name),), ((None, part) for part in parts))
        except RefusedError as why:
            raise OpsError(f"{name!r} {why}", where=str(release)) from None
        except OSError as error:
            raise OpsError(f"{name!r} cannot be written: {error.strerror or error}", where=str(release)) from error


class Tree:
    """A release's folder while it is filled: held by descriptors, so that no path is looked up through a link.

    Attributes
    ----------
    hollow : folders that have come with nothing in them so far.
    """

    def __init__(self, release: Path, root: Path) -> None:
        self.hollow: set[Parts] = set()
        self._root = os.fsencode(release)
        self._owner = owner_below(root)
        self._links: dict[Parts, bytes] = {}
        self._path: list[bytes] = []
        self._open = [os.open(self._root, _FOLDER)]
        self._give(self._open[0])

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.pop())

    def take(self, member: tarfile.TarInfo, tarball: Tarball, lead: Lead) -> None:
        """Put one member in its place."""
        path = lead.without(parts_of(member.name), is_folder=member.isdir())
        self.hollow.discard(path[:-1])
        if member.isdir():
            self._folder(path)
            self.hollow.add(path)
        elif not path:
            raise RefusedError("would take the place of the release's folder itself")
        elif member.isreg():
            if member.name.endswith("/"):
                raise RefusedError("is a file by the name of a folder")
            size = member.size if member.sparse is not None else None
            executable = bool(member.mode & stat.S_IXUSR)
            self.file(path, tarball.content(member), executable=executable, size=size, at=member.mtime)
        elif member.issym():
            self.link(path, encoded(member.linkname))
        elif member.islnk():
            self._hard_link(path, lead.without(parts_of(member.linkname), is_folder=False))
        else:
            raise RefusedError(f"is {_KINDS.get(member.type, f'of the unknown kind {member.type!r}')}")

    def file(
        self,
        path: Parts,
        parts: Iterable[tuple[int | None, bytes | memoryview]],
        *,
        executable: bool = False,
        size: int | None = None,
        at: float | None = None,
    ) -> None:
        """Make a file.

        Parameters
        ----------
        parts : where in the file, and what; None for after the one before.
        size : of a file with holes.
        at : when it was changed last.
        """
        folder, name = self.enter(path[:-1]), path[-1]
        try:
            descriptor = os.open(name, _NEW, _PRIVATE, dir_fd=folder)
        except FileExistsError:
            self._clear(folder, path)
            descriptor = os.open(name, _NEW, _PRIVATE, dir_fd=folder)
        try:
            for offset, part in parts:
                if size is not None and offset is not None:
                    os.lseek(descriptor, offset, os.SEEK_SET)
                written = os.write(descriptor, part)
                while written < len(part):
                    written += os.write(descriptor, memoryview(part)[written:])
            if size is not None:
                os.ftruncate(descriptor, size)
            self._give(descriptor)
            os.fchmod(descriptor, _EXECUTABLE if executable else _PUBLIC)
            if at is not None:
                with suppress(OSError, ValueError, OverflowError):  # a time that no clock can show
                    os.utime(descriptor, (at, at))
        finally:
            os.close(descriptor)

    def stray(self) -> tuple[bytes, bytes] | None:
        """Return the first link that leads out of the release, and its target; None where none does."""
        for path, target in self._links.items():
            if not stays(path, self._links, self._root):
                return b"/".join(path), target
        return None

    def _folder(self, path: Parts) -> None:
        if path:
            parent = self.enter(path[:-1])
            with suppress(FileNotFoundError):
                there = os.stat(path[-1], dir_fd=parent, follow_symlinks=False)
                if not stat.S_ISDIR(there.st_mode):
                    self._clear(parent, path)
            self.enter(path)

    def link(self, path: Parts, target: bytes) -> None:
        """Make a link, whose target `stray` judges."""
        if not target:
            raise RefusedError("is a link to nothing")
        folder, name = self.enter(path[:-1]), path[-1]
        try:
            os.symlink(target, name, dir_fd=folder)
        except FileExistsError:
            self._clear(folder, path)
            os.symlink(target, name, dir_fd=folder)
        if self._owner is not None:
            os.chown(name, *self._owner, dir_fd=folder, follow_symlinks=False)
        self._links[path] = target

    def _hard_link(self, path: Parts, source: Parts) -> None:
        if source == path:
            return
        if source in self._links:  # the same link in another folder would mean something else: made, and judged, anew
            self.link(path, self._links[source])
            return
        no_file = RefusedError(f"is a hard link to {shown_name(b'/'.join(source))}, which is no file before it")
        if not source:
            raise no_file
        origin = os.dup(self.enter(source[:-1]))
        try:
            try:
                there = os.stat(source[-1], dir_fd=origin, follow_symlinks=False)
            except FileNotFoundError:
                raise no_file from None
            if not stat.S_ISREG(there.st_mode):
                raise no_file
            folder = self.enter(path[:-1])
            self._clear(folder, path)
            os.link(source[-1], path[-1], src_dir_fd=origin, dst_dir_fd=folder, follow_symlinks=False)
        finally:
            os.close(origin)

    def enter(self, folder: Parts) -> int:
        """Return the descriptor of a folder below the release, made where it is not there; through no link."""
        if len(folder) > _DEEPEST:
            raise RefusedError(f"lies below more than {_DEEPEST} folders")
        while self._path != list(folder[: len(self._path)]):
            self._path.pop()
            os.close(self._open.pop())
        for name in folder[len(self._path) :]:
            self._open.append(self._step(name, self._open[-1]))
            self._path.append(name)
        return self._open[-1]

    def _step(self, name: bytes, parent: int) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            os.mkdir(name, _EXECUTABLE, dir_fd=parent)
            made = os.open(name, _FOLDER, dir_fd=parent)
            self._give(made)
            os.fchmod(made, _EXECUTABLE)  # whatever the umask is
            return made
        except OSError as error:
            if error.errno in (errno.ENOTDIR, errno.ELOOP):
                raise RefusedError(f"lies below {shown_name(name)}, which is a link or a file") from None
            raise

    def _clear(self, folder: int, path: Parts) -> None:
        """Remove what is where a member is to be."""
        try:
            os.unlink(path[-1], dir_fd=folder)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            try:
                os.rmdir(path[-1], dir_fd=folder)
            except OSError:
                raise RefusedError("would take the place of a folder that is not empty") from None
        self._links.pop(path, None)

    def _give(self, descriptor: int) -> None:
        if self._owner is not None:
            os.fchown(descriptor, *self._owner)


def _shown(member: tarfile.TarInfo | None) -> str:
    return "it" if member is None else shown_name(member.name.encode("utf-8", "surrogateescape"))
