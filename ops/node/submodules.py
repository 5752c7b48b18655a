"""A commit's submodules: which there are, and which commit of which repository each is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.records import dataclass
from ops.core.repository import repository_of
from ops.node.archive_paths import shown_name
from ops.node.mirror import Mirror
from ops.node.tarball import Readable

_GITLINK = b"160000 "
_DEEPEST = 10  # submodules within each other
_REMOTE = ("https", "http", "ssh", "git")
_MOST_BYTES = 1 << 28
_BLOCK_BYTES = 1 << 16
_WHOLE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|/|[^-/:][^/:]*:")


@dataclass(frozen=True)
class Submodule:
    """One commit that belongs into a release.

    Attributes
    ----------
    path : of its folder below the repository's top, ends in a slash.
    mirror : of its repository, which has the commit.
    """

    path: bytes
    mirror: Mirror
    commit: str


def submodules(
    mirror: Mirror, commit: str, tree: bytes, folder: Path, deadline: Deadline, depth: int = 0
) -> Iterator[Submodule]:
    """Fetch the submodules of a commit, and theirs.

    Parameters
    ----------
    tree : the folder whose submodules they are, ends in a slash; empty for all.
    folder : of their mirrors.

    Raises
    ------
    OpsError : one cannot be fetched; nothing of the release may be published then.
    """
    links = _links(mirror, commit, deadline)
    wanted = {path: linked for path, linked in links.items() if path.startswith(tree)}
    if not wanted:
        return
    if depth == _DEEPEST:
        raise OpsError(f"submodules lie more than {_DEEPEST} deep within each other: {_shown(min(wanted))}")
    addresses = _addresses(mirror, commit, deadline)
    for path, linked in sorted(wanted.items()):
        address = addresses.get(path.rstrip(b"/"))
        if address is None:
            hint = "git rm --cached it, or give it an address: git submodule add URL PATH"
            raise OpsError(f"{_shown(path)} is a submodule without an address in .gitmodules", hint=hint)
        source = absolute(mirror.source, address)
        own = _mirror(mirror, source, folder)
        mirror.tell("submodule", f"{_shown(path)}: {linked[:12]}")
        try:
            own.fetch(linked, deadline)
        except OpsError as error:
            raise OpsError(f"the submodule {_shown(path)} cannot be fetched: {error}") from error
        yield Submodule(path, own, linked)
        for inner in submodules(own, linked, b"", folder, deadline, depth + 1):
            yield Submodule(path + inner.path, inner.mirror, inner.commit)


def absolute(parent: str, address: str) -> str:
    """Return a submodule's address as git reads it: one that begins with ./ or ../ goes from its parent's.

    Raises
    ------
    OpsError : it goes further up than its parent's goes down, or is a path of nobody knows where.
    """
    base, rest, slash = parent.rstrip("/"), address, "/"
    while rest.startswith(("./", "../")):
        up, _, rest = rest.partition("/")
        if up == "..":
            cut = max(base.rfind("/"), base.rfind(":"))
            if cut < 0 or base[:cut].endswith((":", ":/")):
                raise OpsError(f"the submodule's address {address!r} leads out of {repository_of(parent).address}")
            base, slash = base[:cut], base[cut]
    if rest != address:
        return f"{base}{slash}{rest}"
    if not _WHOLE.match(address):
        raise OpsError(f"the submodule's address {address!r} is no URL, nor a path that begins with / or ./ or ../")
    return address


def _mirror(parent: Mirror, source: str, folder: Path) -> Mirror:
    """Return a submodule's mirror: what .gitmodules says is anybody's who may commit, and asks for no file of here."""
    local = parent.source.startswith(("/", ".", "file://"))
    protocols = (*_REMOTE, "file") if local else _REMOTE
    from hashlib import sha256

    path = folder / sha256(repository_of(source).address.encode()).hexdigest()[:16]
    return Mirror(source, path, parent.tell, parent.run, login=parent.login, protocols=protocols)


def _links(mirror: Mirror, commit: str, deadline: Deadline) -> dict[bytes, str]:
    """Return the commits of a commit's submodules by their paths, which end in a slash."""
    found = {}
    for entry in _said(mirror, ("ls-tree", "-r", "-z", "--full-tree", commit), deadline).split(b"\0"):
        head, _, path = entry.partition(b"\t")
        if head.startswith(_GITLINK):
            found[path + b"/"] = head.split(b" ")[2].decode("ascii")
    return found


def _addresses(mirror: Mirror, commit: str, deadline: Deadline) -> dict[bytes, str]:
    """Return the addresses of submodules by their paths."""
    pattern = r"^submodule\..*\.(path|url)$"
    words = ("config", "-z", "--blob", f"{commit}:.gitmodules", "--get-regexp", pattern)
    try:
        said = _said(mirror, words, deadline)
    except OpsError:  # there is none, or nothing in it
        return {}
    values = {}
    for entry in said.split(b"\0"):
        key, _, value = entry.partition(b"\n")
        values[key] = value
    return {
        value.strip(b"/"): os.fsdecode(values[key[: -len(b"path")] + b"url"])
        for key, value in values.items()
        if key.endswith(b".path") and key[: -len(b"path")] + b"url" in values
    }


def _said(mirror: Mirror, words: tuple[str, ...], deadline: Deadline) -> bytes:
    """Return what git prints."""
    said, buffer = bytearray(), memoryview(bytearray(_BLOCK_BYTES))

    def take(output: Readable) -> None:
        while size := output.readinto(buffer):
            said.extend(buffer[:size])
            if len(said) > _MOST_BYTES:
                raise OpsError(f"git {words[0]} says more than {_MOST_BYTES} B of {mirror.path}")

    mirror.git(words, deadline.remaining, read=take).require(f"git {words[0]}")
    return bytes(said)


def _shown(path: bytes) -> str:
    return shown_name(path.rstrip(b"/"))
