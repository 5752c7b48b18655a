"""Where a release's files come from: an artifact that follows the request, or a commit out of the mirror in repo/."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.release import ARTIFACT_FILE, Artifact
from ops.node import extraction, lfs
from ops.node.mirror import Mirror, Tell
from ops.node.payload import Payload, Upload
from ops.node.streaming import Run
from ops.node.tarball import Readable
from ops.node.turn import Permit

_WHEEL = ".whl"
REPO = "repo"  # git's mirror, as Capistrano has it
_SUBMODULES = ".gitmodules"

Take = Callable[[Readable, str, int], bool]
"""Takes an archive in; see `extraction.unpacking`."""


def receive(
    artifact: Artifact,
    payload: Payload,
    root: Path,
    release: Path,
    seconds: float,
    tell: Tell,
    permit: Permit,
    strip: int = 0,
) -> None:
    """Take an artifact in: an archive is unpacked while it comes, its SHA-256 checked; a wheel is put there as it is.

    Parameters
    ----------
    strip : leading folders of an archive's names that are left out.

    Raises
    ------
    LockHeldError : the lease has gone meanwhile.
    OpsError : it broke off, is none, not the one that was meant, or reaches out of the release.
    """
    began = time.monotonic()
    if not ARTIFACT_FILE.fullmatch(artifact.name):
        raise OpsError(f"{artifact.name!r} is no name of an artifact")
    upload = Upload(payload, artifact, Deadline(seconds), permit)
    if artifact.name.endswith(_WHEEL):
        extraction.write(upload.parts(), artifact.name, release, root)
    else:
        extraction.unpack(upload, artifact.name, release, root, strip)
    upload.require_whole()
    tell("received", f"{artifact.name}, {artifact.size / 1e6:.1f} MB, in {time.monotonic() - began:.1f} s")


def resolve(source: str, branch: str, root: Path, seconds: float, tell: Tell, run: Run) -> str:
    """Give the commit that a branch, tag or commit is; see `Mirror.commit_of`."""
    return _mirror(source, root, tell, run).commit_of(branch, Deadline(seconds))


def look_up(source: str, branch: str, root: Path, seconds: float, tell: Tell, run: Run) -> str:
    """Give the commit that a branch or tag is, and change nothing here; see `Mirror.look_up`."""
    return _mirror(source, root, tell, run).look_up(branch, Deadline(seconds))


def archive(
    source: str, revision: str, root: Path, release: Path, seconds: float, tell: Tell, run: Run, tree: str = ""
) -> None:
    """Put a commit's files into a release's folder, those of its submodules and of Git LFS with them.

    Parameters
    ----------
    tree : the folder of the repository that becomes the release; empty for all of it.

    Raises
    ------
    OpsError : git fails, no branch or tag has the commit, a submodule or file is nowhere to be had, or a file reaches
        out of the release.
    """
    deadline, mirror, below = Deadline(seconds), _mirror(source, root, tell, run), tree.strip("/")
    mirror.fetch(revision, deadline)
    if below:
        found: list[str] = []
        mirror.git(("cat-file", "-t", f"{revision}:{below}"), deadline.remaining, found.append)
        if found != ["tree"]:
            hint = "the setting repo_tree names it; a file, a link, and what lies in a submodule, are none"
            raise OpsError(f"there is no folder {below!r} in {revision[:12]}", hint=hint)
    top = f"{below}/".encode() if below else b""
    with extraction.unpacking(release, root) as take:
        words = (revision, "--", below) if below else (revision,)
        hollow = _unpack(mirror, words, take, deadline, strip=len(top.split(b"/")) - 1)
        # git packs a submodule as an empty folder, and has none of its own: to ask it is one more run for nothing
        if not hollow and not os.path.lexists(release / _SUBMODULES):
            return
        from ops.node.submodules import submodules

        for one in submodules(mirror, revision, top, root / REPO / "modules", deadline):
            prefix = f"--prefix={os.fsdecode(one.path[len(top) :])}"
            _unpack(one.mirror, (prefix, one.commit), take, deadline)


def _unpack(mirror: Mirror, words: Sequence[str], take: Take, deadline: Deadline, strip: int = 0) -> bool:
    """Take a commit in while git packs it: nothing of it lies on the disk twice; returns what `take` does."""
    argv, hollow = (*lfs.options(), "archive", "--format=tar", *words), False

    def read(source: Readable) -> None:
        nonlocal hollow
        hollow = take(source, "git's archive", strip)

    mirror.git(argv, deadline.remaining, read=read).require("git archive")
    return hollow


def _mirror(source: str, root: Path, tell: Tell, run: Run) -> Mirror:
    return Mirror(source, root / REPO, tell, run)


def tidy(folder: Path) -> None:
    """Remove the archives that agents of earlier versions have left beside the releases where they were killed."""
    for path in folder.glob(".*.tar"):
        with suppress(OSError):  # in nobody's way
            path.unlink()
