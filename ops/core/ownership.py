"""Who can change what is in an application's folder: as that user root works there, and runs nothing that is there.

Of the standard library of 3.9 alone: `fab karafka.setup` sends this text along to hosts that have nothing yet.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import stat
from collections import namedtuple
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

FOLDERS = ("releases", "repo", "shared", "shared/releases", "shared/tmp", "shared/tmp/pids", "shared/tmp/slots",
           "shared/log", "shared/units", "shared/rollouts")  # fmt: skip
"""Below deploy_to: where an agent writes."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GIVEN = ("releases", "repo", "shared/releases", "shared/tmp", "shared/log", "shared/rollouts", "shared/units")
ROOTS_PLACE = "/var/lib/karafka-ops"
"""Below it root keeps what it runs and trusts for applications whose folder belongs to somebody else."""


class OwnershipError(Exception):
    """A folder in which nobody can be said to work; `hint` says what ends that."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple

    class Owner(NamedTuple):
        """A user and a group, by number."""

        uid: int
        gid: int

else:
    Owner = namedtuple("Owner", "uid gid")


def roots_folder(deploy_to: str) -> str:
    """Return the folder, one an application's folder, that root keeps its tool and its notes in."""
    import hashlib  # an agent's start has no need of it

    name = "".join(one if one.isascii() and one.isalnum() else "-" for one in PurePosixPath(deploy_to).name)
    return f"{ROOTS_PLACE}/{name}-{hashlib.sha256(os.fsencode(deploy_to)).hexdigest()[:8]}"


def owner_of(root: Path, more: Iterable[str] = ()) -> Owner | None:
    """Return as whom root has to work in an application's folder; None where nobody but root can change it.

    Parameters
    ----------
    more : folders that an agent writes to beside the usual ones.

    Raises
    ------
    OwnershipError : several users can, so that there is no such one.
    """
    folder = nearest(root)
    found = folder.stat()
    if found.st_uid:
        for part, facts in chain(folder):
            if part != str(folder) and (facts.st_uid not in (0, found.st_uid) or others_write(facts, found.st_gid)):
                raise _mixed(root, f"belongs to user {found.st_uid}", part, facts)
        return Owner(found.st_uid, found.st_gid)
    seen: set[str] = set()
    for below in (str(folder), *(f"{root}/{one}" for one in FOLDERS), *more):
        if not os.path.exists(below):  # noqa: PTH110  for each request: without the machinery of paths
            continue
        for part, facts in chain(below, seen):
            if facts.st_uid or others_write(facts, last=f"{part}/".startswith(f"{root}/")):
                raise _mixed(root, "is root's", part, facts)
    return None


def others_of(folder: Path, uid: int, group: int) -> str:
    """Say who else than a user and root can put something else in the place of what is in a folder; empty for nobody.

    Parameters
    ----------
    group : the user's own, which nobody else is in.
    """
    for part, facts in chain(folder):
        if facts.st_uid not in (0, uid):
            return f"user {facts.st_uid} can change {part}"
        if others_write(facts, group):
            return f"group {facts.st_gid} or others can change {part}"
    return ""


def chain(path: str | Path, seen: set[str] | None = None) -> Iterator[tuple[str, os.stat_result]]:
    """Yield a folder and those above it, by the name it has and by all that links on the way lead to.

    Who can change one can put another in its place, also where it only leads on to somewhere else.

    Parameters
    ----------
    seen : what others have been yielded before, which is passed over; it is added to.
    """
    seen = set() if seen is None else seen
    ways = [str(path)]
    for way in ways:
        one, above = way, os.path.dirname(way)  # noqa: PTH120
        while one not in seen:  # else those above it have been, too
            seen.add(one)
            facts = os.lstat(one)
            yield one, facts
            if stat.S_ISLNK(facts.st_mode):
                ways.append(os.path.join(above, os.readlink(one)))  # noqa: PTH115, PTH118
            one, above = above, os.path.dirname(above)  # noqa: PTH120


def others_write(facts: os.stat_result, group: int = 0, *, last: bool = False) -> bool:
    """Whether somebody else than its owner can put something else in the place of what is in a folder.

    Parameters
    ----------
    group : the owner's own, which may.
    last : what is in it need not be there yet, so that the sticky bit does not help.
    """
    if stat.S_ISLNK(facts.st_mode) or (facts.st_mode & stat.S_ISVTX and not last):
        return False
    return bool(facts.st_mode & stat.S_IWOTH or (facts.st_mode & stat.S_IWGRP and facts.st_gid not in (0, group)))


def nearest(root: Path) -> Path:
    """Return a folder, or the nearest one above it that is there and that this user may look at."""
    while not os.path.exists(root):  # noqa: PTH110  no error where this user may not look
        root = root.parent
    return root


def _mixed(root: Path, whose: str, part: str, facts: os.stat_result) -> OwnershipError:
    who = f"group {facts.st_gid} or others" if others_write(facts, last=True) else f"user {facts.st_uid}"
    hint = f"give it to the user whom the processes run as: chown -R USER: {root}; and let nobody else write there"
    return OwnershipError(f"{root} {whose}, but {who} can change {part}", hint)


@contextmanager
def rights_of(owner: Owner | None) -> Iterator[None]:
    """Have an owner's rights and no others: whatever a link leads to, the kernel refuses what the owner may not do."""
    if owner is None:
        yield
        return
    groups = os.getgroups()
    os.setgroups([owner.gid])
    os.setegid(owner.gid)
    os.seteuid(owner.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)


def own_group() -> int:
    """Return the group that has this user's name, which nobody else is in; 0, which is root's, where there is none."""
    try:
        same = pwd.getpwuid(os.geteuid()).pw_name == grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        return 0
    return os.getegid() if same else 0


def give(root: Path, owner: Owner) -> list[str]:
    """Let the owner have what earlier versions of this tool have made there as root; return what is left as it is.

    That is what the owner may not read: it could be a secret of root's that was moved there. No link is followed.
    """
    left: list[str] = []
    top = os.open(root, _FOLDER)
    try:
        if os.fstat(top).st_uid != owner.uid:
            return left
        _give_file(top, "revisions.log", owner, left)
        for below in _GIVEN:
            _give_below(top, below, owner, left)
    finally:
        os.close(top)
    return left


def _give_below(top: int, below: str, owner: Owner, left: list[str]) -> None:
    """Give a folder and those above it, and all that is in it."""
    folder = os.dup(top)
    try:
        for part in below.split("/"):
            inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
            _give_folder(folder, owner, left, below)
        device = os.fstat(folder).st_dev
        for name, folders, files, descriptor in os.fwalk(".", dir_fd=folder):
            if os.fstat(descriptor).st_dev != device:  # mounted there: the owner could not have moved it
                folders.clear()
                continue
            _give_folder(descriptor, owner, left, f"{below}/{name}")
            for file in files:
                _give_file(descriptor, file, owner, left)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno != errno.ELOOP:  # a link: what is behind it is none of ours
            raise
    finally:
        os.close(folder)


def _give_folder(descriptor: int, owner: Owner, left: list[str], name: str) -> None:
    facts = os.fstat(descriptor)
    if facts.st_uid == 0 and facts.st_mode & 0o005 == 0o005:
        os.fchown(descriptor, *owner)
    elif facts.st_uid == 0:
        left.append(name)


def _give_file(folder: int, name: str, owner: Owner, left: list[str]) -> None:
    try:
        if os.stat(name, dir_fd=folder, follow_symlinks=False).st_uid:
            return
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:  # it is not there, or a link, whose owner is of no matter
        return
    try:
        facts = os.fstat(file)
        readable = facts.st_mode & 0o004 or (facts.st_gid == owner.gid and facts.st_mode & 0o040)
        if facts.st_uid == 0 and facts.st_nlink == 1 and stat.S_ISREG(facts.st_mode) and readable:
            os.fchown(file, *owner)
        elif facts.st_uid == 0:
            left.append(name)
    finally:
        os.close(file)
