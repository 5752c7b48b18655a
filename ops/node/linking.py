"""What all releases share: linked_dirs and linked_files, kept in shared/ and linked into each release.

Nothing in shared/ is written, replaced or removed: folders that are missing there are made, and everything else happens
in the release, through no link of its own. What the release has where a link belongs makes way, as in Capistrano, if it
is of the link's kind; a link there, or in a folder above it, might lead to what everybody shares, and is refused.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ops.core import linked
from ops.core.errors import OpsError
from ops.node.archive_paths import Parts, RefusedError, parts_of, shown_name, stays
from ops.node.extraction import Tree
from ops.node.ownership import owner_below

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def link(release: Path, shared: Path, dirs: Sequence[str], files: Sequence[str]) -> None:
    """Link a release to shared/.

    Parameters
    ----------
    shared : the folder of that name in deploy_to.

    Raises
    ------
    OpsError : a path cannot be linked, or a link of the release leads out of it by way of one that was.
    OSError : something cannot be written.
    """
    # Either folder may be elsewhere: releases/ by a link to another disk, shared/ by one to a file server.
    real, base = release.resolve(), shared.parent.resolve() / shared.name
    with Tree(real, shared.parent) as tree:
        for one in _links(dirs, files):
            path = parts_of(one.path)
            try:
                _make_way(tree, path, folder=one.key == linked.DIRS)
            except RefusedError as why:
                hint = f"take it out of the release, or out of {one.key}"
                raise OpsError(f"{one.key}: {one.path!r} {why} in the release", hint=hint) from None
            place = real / one.path
            tree.link(path, os.fsencode(os.path.relpath(base / one.path, place.parent)))
    ours = {parts_of(one.path) for one in _links(dirs, files)}
    if ours:
        theirs = {path: target for path, target in _links_in(real) if path not in ours}
        for path, target in theirs.items():
            if not stays(path, theirs, os.fsencode(release), ours):
                what = f"{shown_name(b'/'.join(path))} is a link to {shown_name(target)}"
                raise OpsError(f"{what}, which leads out of the release by way of what is linked to shared/")


def make_dirs(shared: Path, dirs: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    """Make the folders in shared/ that links lead to and that linked files belong into; gives what is in the way.

    Raises
    ------
    OSError : one cannot be looked at.
    """
    _links(dirs, files)
    wanted = [(linked.DIRS, path) for path in dirs]
    wanted += [(linked.FILES, os.path.dirname(path)) for path in files]  # noqa: PTH120  text, not a place here
    for key, folder in dict.fromkeys(wanted):
        if not (shared / folder).is_dir():
            try:
                _make(shared, folder)
            except OSError as error:
                in_the_way = error.errno in (errno.ENOTDIR, errno.ELOOP)
                what = f"{error.filename!r} is a file or a link" if in_the_way else error.strerror
                yield f"{shared / folder} of {key} cannot be made: {what}"


def unfit(shared: Path, releases: Path, dirs: Sequence[str], files: Sequence[str]) -> Iterator[str]:
    """Say which linked files shared/ does not have, and what of shared/ is none, but a part of a release."""
    for path in files:
        if (shared / path).is_dir():
            yield f"{shared / path} is a folder, and {path!r} stands in {linked.FILES}"
        elif not (shared / path).exists():
            yield f"the linked file {shared / path} is missing"
    for path in (*dirs, *files):
        if releases.resolve() in Path(os.path.realpath(shared / path)).parents:
            yield f"{shared / path} leads into a release, and those are removed one day"


def _links(dirs: Sequence[str], files: Sequence[str]) -> tuple[linked.Linked, ...]:
    try:
        return linked.links(dirs, files)
    except linked.LinkedError as error:
        raise OpsError(error.what, where=error.key) from None


def _make_way(tree: Tree, path: Parts, *, folder: bool) -> None:
    """Remove what a release has in the place of a link."""
    parent, name = tree.enter(path[:-1]), path[-1]
    try:
        kind = stat.S_IFMT(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return
    if kind == stat.S_IFDIR:
        if not folder:
            raise RefusedError("is a folder")
        shutil.rmtree(f"/proc/self/fd/{parent}/{os.fsdecode(name)}")  # rmtree(dir_fd=) is newer than 3.9
    elif kind == stat.S_IFREG and not folder:
        os.unlink(name, dir_fd=parent)
    else:
        raise RefusedError("is a link" if kind == stat.S_IFLNK else "is a file")


def _links_in(release: Path) -> Iterator[tuple[Parts, bytes]]:
    """Find the links of a release, through descriptors: no path is too long for them.

    Raises
    ------
    OSError : a folder cannot be read.
    """
    root = os.fsencode(release)
    for folder, folders, files, at in os.fwalk(root, onerror=_give_up):
        above = tuple(part for part in folder[len(root) :].split(b"/") if part)
        for name in (*folders, *files):
            if stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode):
                yield (*above, name), os.readlink(name, dir_fd=at)


def _give_up(error: OSError) -> None:
    raise error


def _make(shared: Path, folder: str) -> None:
    """Make a folder in shared/, through no link of it."""
    owner, above = owner_below(shared.parent), os.open(shared, _FOLDER)
    try:
        for name in folder.split("/"):
            try:
                os.mkdir(name, dir_fd=above)
            except FileExistsError:
                made = False
            else:
                made = True
            below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
            os.close(above)
            above = below
            if made and owner is not None:
                os.fchown(above, *owner)
    finally:
        os.close(above)
