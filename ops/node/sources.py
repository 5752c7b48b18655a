"""Where a release's files come from: an artifact that follows the request, or a commit out of the mirror in repo/."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.release import ARTIFACT_FILE, Artifact
from ops.core.repository import repository_of
from ops.node import extraction
from ops.node.payload import Payload, Upload
from ops.node.streaming import Run
from ops.node.turn import Permit

_BUFFER_BYTES = 1 << 18
_WHEEL = ".whl"
_ASK_NOBODY = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}

_NOT_THERE, _NAME_ONE = "{!r} is no branch, tag or commit of the repository", "--branch, or the setting `branch`"
_COMMIT = re.compile(r"[0-9a-f]{4,64}|.*[~^].*", re.DOTALL)  # by its name, or from another one

Tell = Callable[[str, str], None]


def receive(
    artifact: Artifact, payload: Payload, root: Path, release: Path, seconds: float, tell: Tell, permit: Permit
) -> None:
    """Take an artifact in: an archive is unpacked while it comes, its SHA-256 checked; a wheel is put there as it is.

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
        extraction.write(iter(partial(upload.read, _BUFFER_BYTES), b""), artifact.name, release, root)
    else:
        extraction.unpack(upload, artifact.name, release, root)
    upload.require_whole()
    tell("received", f"{artifact.name}, {artifact.size / 1e6:.1f} MB, in {time.monotonic() - began:.1f} s")


def resolve(source: str, branch: str, root: Path, seconds: float, tell: Tell, run: Run) -> str:
    """Give the commit that a branch, tag or revision is.

    Raises
    ------
    OpsError : git fails, or has no such thing.
    """
    mirror(source, root, seconds, tell, run)
    found: list[str] = []
    argv = _git(root, "rev-parse", "--verify", "--end-of-options", f"{branch}^{{commit}}")
    run(argv, seconds, found.append, env=_environment()).require(_NOT_THERE.format(branch), hint=_NAME_ONE)
    return found[-1]


def look_up(source: str, branch: str, root: Path, seconds: float, run: Run) -> str:
    """Give the commit that a branch or tag is by the repository's own word, and change nothing here.

    Returns
    -------
    Of a commit, what the mirror says as it is; empty where it does not know: a deploy's fetch may change that.

    Raises
    ------
    OpsError : git fails, or has no such thing.
    """
    deadline = Deadline(seconds)
    names = [branch, f"{branch}^{{}}"]
    found: dict[str, str] = {}

    def take(line: str) -> None:
        commit, tab, name = line.partition("\t")
        if tab:
            found[name] = commit

    argv = ["git", "ls-remote", "--quiet", "--", source, *names]
    run(argv, deadline.remaining, take, env=_environment()).require(
        "the repository cannot be read", hint=f"on the host, as this user: git ls-remote {source}"
    )
    for place in ("", "refs/", "refs/tags/", "refs/heads/"):  # as gitrevisions(7) has it
        for name in reversed(names):  # of an annotated tag, the commit and not the tag
            if f"{place}{name}" in found:
                return found[f"{place}{name}"]
    known: list[str] = []
    argv = _git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{branch}^{{commit}}")
    there = (root / "repo" / "HEAD").is_file()
    if there and run(argv, deadline.remaining, known.append, env=_environment()).code == 0:
        return known[-1]
    if not _COMMIT.fullmatch(branch):
        raise OpsError(_NOT_THERE.format(branch), hint=_NAME_ONE)
    return ""


def archive(source: str, revision: str, root: Path, release: Path, seconds: float, tell: Tell, run: Run) -> None:
    """Put a commit's files into a release's folder.

    Raises
    ------
    OpsError : git fails, the commit is not there, or a file of it reaches out of the release.
    """
    deadline = Deadline(seconds)
    if _has(root, revision, seconds, run):
        tell("mirror", f"{revision[:12]} is there")
    else:
        mirror(source, root, deadline.remaining, tell, run)
    packed = release.with_name(f".{release.name}.tar")
    try:
        with packed.open("wb") as file:
            argv = _git(root, "archive", "--format=tar", revision)
            run(argv, deadline.remaining, env=_environment(), output=file.fileno()).require("git archive")
        with packed.open("rb") as file:
            extraction.unpack(file, f"the archive of {revision[:12]}", release, root)
    finally:
        packed.unlink(missing_ok=True)


def tidy(folder: Path) -> None:
    """Remove the archives that agents which were killed have left beside the releases."""
    for path in folder.glob(".*.tar"):
        with suppress(OSError):  # in nobody's way
            path.unlink()


def mirror(source: str, root: Path, seconds: float, tell: Tell, run: Run) -> None:
    """Make repo/ a mirror of the repository as it is now; one that is broken is made anew.

    Raises
    ------
    OpsError : git fails, with its last words.
    """
    deadline, repo = Deadline(seconds), root / "repo"
    began = time.monotonic()
    there = repository_of(source)
    environment = {**_environment(), **there.environment}
    if (repo / "HEAD").is_file():
        # by the address, whatever remote the mirror was made with
        words = ("fetch", "--quiet", "--prune", "--end-of-options", there.address, "+refs/*:refs/*")
        fetched = run(_git(root, *there.options, *words), deadline.remaining, env=environment)
        if fetched.code == 0:
            # what an earlier version, or Capistrano, has left there may have the password
            run(_git(root, "config", "remote.origin.url", there.address), deadline.remaining, env=_environment())
            tell("mirror", f"updated in {time.monotonic() - began:.1f} s")
            return
        tell("mirror", f"could not be updated ({fetched.lines[-1] if fetched.lines else fetched.code}), made anew")
    fresh = root / ".repo"
    shutil.rmtree(fresh, ignore_errors=True)
    argv = ["git", *there.options, "clone", "--quiet", "--mirror", "--", there.address, str(fresh)]
    try:
        run(argv, deadline.remaining, env=environment).require(
            "the repository cannot be cloned", hint=f"on the host, as this user: git ls-remote {there.address}"
        )
        shutil.rmtree(repo, ignore_errors=True)
        with suppress(FileNotFoundError):
            repo.rmdir()
        fresh.rename(repo)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    tell("mirror", f"made in {time.monotonic() - began:.1f} s")


def _has(root: Path, revision: str, seconds: float, run: Run) -> bool:
    if not (root / "repo" / "HEAD").is_file():
        return False
    argv = _git(root, "cat-file", "-e", f"{revision}^{{commit}}")
    return bool(run(argv, seconds, env=_environment()).code == 0)


def _git(root: Path, *words: str) -> list[str]:
    return ["git", f"--git-dir={root / 'repo'}", *words]


def _environment() -> dict[str, str]:
    return {**_ASK_NOBODY, **os.environ, "LC_ALL": "C"}
