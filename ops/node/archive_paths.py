"""Names and links of an archive, judged before anything is made of them: nothing of a file system is looked at."""

from __future__ import annotations

from collections.abc import Container, Mapping

_LINKS_FOLLOWED = 40  # the kernel goes no further
_SHOWN_CHARACTERS = 120

Parts = tuple[bytes, ...]
"""A path below the release."""


class RefusedError(Exception):
    """What a member must not do."""


class Lead:
    """The leading folders that all names of an archive have in common, and that are left out.

    Parameters
    ----------
    count : how many; 0 leaves names as they are.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: Parts | None = None

    def without(self, path: Parts, *, is_folder: bool) -> Parts:
        """Return a name without them; none for the folders themselves.

        Raises
        ------
        RefusedError : it lies beside them.
        """
        if not self._count:
            return path
        lead = path[: self._count]
        if len(lead) < self._count or (len(path) == self._count and not is_folder):
            if is_folder and (self._parts is None or lead == self._parts[: len(lead)]):
                return ()
            raise RefusedError(f"lies in none of the {self._count} leading folders that are to be left out")
        if self._parts is None:
            self._parts = lead
        if lead != self._parts:
            raise RefusedError(f"lies beside {shown_name(b'/'.join(self._parts))}, whose content is to be the release")
        return path[self._count :]


def stays(path: Parts, links: Mapping[Parts, bytes], root: bytes, shared: Container[Parts] = ()) -> bool:
    """Whether a link, followed as the kernel would, is within the release at every step.

    What is not there counts as a folder: something may be made there later.

    Parameters
    ----------
    shared : where the release is linked to shared/: a link may lead into these, and not up again.
    """
    base = [part for part in root.split(b"/") if part]
    here: list[bytes] = list(path[:-1])
    todo = [path[-1]]  # the last one is the next one
    followed = 0
    while todo:
        name = todo.pop()
        if name == b"..":
            if not here:
                return False
            here.pop()
            continue
        if (*here, name) in shared:
            return b".." not in todo
        # a circle leads nowhere; what would come behind it is judged all the same
        target = links.get((*here, name)) if followed < _LINKS_FOLLOWED else None
        if target is None:
            here.append(name)
            continue
        followed += 1
        steps = [part for part in target.split(b"/") if part not in (b"", b".")]
        if target.startswith(b"/"):
            if steps[: len(base)] != base:
                return False
            here, steps = [], steps[len(base) :]
        todo.extend(reversed(steps))
    return True


def parts_of(name: str) -> Parts:
    """Return a member's name as a path below the release; none for the release itself."""
    raw = encoded(name)
    if raw.startswith(b"/"):
        raise RefusedError("has an absolute name")
    path = tuple(part for part in raw.split(b"/") if part not in (b"", b"."))
    if b".." in path:
        raise RefusedError("has a name that leads out of its folder")
    if not raw:
        raise RefusedError("has no name")
    return path


def encoded(name: str) -> bytes:
    raw = name.encode("utf-8", "surrogateescape")
    if b"\0" in raw:
        raise RefusedError("has a zero byte in its name")
    return raw


def shown_name(raw: bytes) -> str:
    """Return a name as it can be shown: nothing of it steers a terminal, and a long one is cut."""
    text = raw.decode("utf-8", "backslashreplace")
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}...")
