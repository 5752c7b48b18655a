"""A mirror of a git repository on this host: its branches and tags, and which commits they have.

What a repository has beside them is nobody's word: the refs of pull requests have commits of forks, which anybody may
make. So none of them is fetched, and what older mirrors have of them is not taken for a branch.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.release import COMMIT
from ops.core.repository import Repository, repository_of
from ops.node import removal
from ops.node.streaming import Ended, Run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ASK_NOBODY = {"GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
_LITERAL = {"LC_ALL": "C", "GIT_LITERAL_PATHSPECS": "1"}
_OWN = ("refs/heads/", "refs/tags/")
_HEAD = "HEAD"  # of the repository: its default branch
_NAME_ONE = "--branch, or the setting `branch`"
_MAY_BE_COMMIT = r"(?s:[0-9a-f]{4,64}|.*[~^].*)"  # by its name, or from another one
_REFS = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")

Tell = Callable[[str, str], None]


class Mirror:
    """One repository.

    Parameters
    ----------
    source : its address, with what secret it has.
    path : the mirror's folder.
    tell : is told what is done.
    run : runs git; see `ops.node.streaming.run`.
    login : whose user and password are used where the address has none; they go to their own host alone.
    protocols : that git may use for it; empty for what its settings allow.
    """

    def __init__(
        self,
        source: str,
        path: Path,
        tell: Tell,
        run: Run,
        *,
        login: Repository | None = None,
        protocols: Sequence[str] = (),
    ) -> None:
        self.source = source
        self.path = path
        self.tell = tell
        self.run = run
        self._repository = repository_of(source)
        self.login = self._repository if self._repository.options or login is None else login
        self._protocols = {"GIT_ALLOW_PROTOCOL": ":".join(protocols)} if protocols else {}

    def git(
        self, words: Sequence[str], seconds: float, take: Callable[[str], None] = lambda _: None, **how: Any
    ) -> Ended:
        """Run git on the mirror; `how` as `streaming.run` has it."""
        argv = ["git", f"--git-dir={self.path}", *self.login.options, *words]
        ended: Ended = self.run(argv, seconds, take, env=self._environment(), **how)
        return ended

    def commit_of(self, name: str, deadline: Deadline) -> str:
        """Return the commit that a branch, tag or commit of the repository is as it is now.

        Raises
        ------
        OpsError : git fails, or has no such thing, or two.
        """
        self.refresh(deadline)
        if not COMMIT.fullmatch(name):
            own = _own_refs(name)
            found = {commit for ref in own if (commit := self._commit(ref, deadline))}
            if len(found) > 1:
                raise self._ambiguous(name, own)
            if found:
                return found.pop()
        commit = self._commit(name, deadline)
        if not commit:
            raise OpsError(f"{name!r} is no branch, tag or commit of the repository", hint=_NAME_ONE)
        self._require(commit, deadline)
        return commit

    def look_up(self, name: str, deadline: Deadline) -> str:
        """Return the commit that a branch or tag is by the repository's own word, and change nothing here.

        Returns
        -------
        Of a commit, what the mirror says as it is; empty where it does not know: a fetch may change that.

        Raises
        ------
        OpsError : git fails, or has no such thing, or two.
        """
        own = [_HEAD] if name == _HEAD else [] if COMMIT.fullmatch(name) else _own_refs(name)
        found: dict[str, str] = {}

        def take(line: str) -> None:
            commit, _, ref = line.partition("\t")
            if COMMIT.fullmatch(commit):
                found[ref] = commit

        address = self._repository.address
        asked = [word for ref in own for word in (ref, f"{ref}^{{}}")]  # of an annotated tag, the commit, too
        argv = ["git", *self.login.options, "ls-remote", "--quiet", "--", address, *asked]
        self.run(argv, deadline.remaining, take, env=self._environment()).require(
            "the repository cannot be read", hint=f"on the host, as this user: git ls-remote {address}"
        )
        commits = {found.get(f"{ref}^{{}}", found[ref]) for ref in own if ref in found}
        if len(commits) > 1:
            raise self._ambiguous(name, own)
        if commits:
            return commits.pop()
        known = self._commit(name, deadline) if (self.path / "HEAD").is_file() else ""
        if not known and not re.fullmatch(_MAY_BE_COMMIT, name):
            raise OpsError(f"{name!r} is no branch, tag or commit of the repository", hint=_NAME_ONE)
        return known

    def fetch(self, commit: str, deadline: Deadline) -> None:
        """Make sure that the mirror has a commit, and that it is one of the repository's own.

        Raises
        ------
        OpsError : git fails, or no branch or tag has it.
        """
        if not COMMIT.fullmatch(commit):
            raise OpsError(f"{commit!r:.100} is no commit")
        if self._has(commit, deadline):
            self.tell("mirror", f"{commit[:12]} is there")
            return
        self.refresh(deadline)
        self._require(commit, deadline)

    def refresh(self, deadline: Deadline) -> None:
        """Make the mirror as the repository is now; one that is broken is made anew.

        Raises
        ------
        OpsError : git fails, with its last words.
        """
        began, address = time.monotonic(), self._repository.address
        if (self.path / "HEAD").is_file():
            # by the address, whatever remote the mirror was made with
            words = ("fetch", "--quiet", "--prune", "--no-recurse-submodules", "--end-of-options", address, *_REFS)
            fetched = self.git(words, deadline.remaining)
            if fetched.code == 0:
                # what an earlier version, or Capistrano, has left there may have the password
                if not self._notes_only(address):
                    self.git(("config", "remote.origin.url", address), deadline.remaining)
                self.tell("mirror", f"updated in {time.monotonic() - began:.1f} s")
                return
            why = fetched.lines[-1] if fetched.lines else fetched.code
            self.tell("mirror", f"could not be updated ({why}), made anew")
        fresh, old = (self.path.with_name(f".{self.path.name}-{kind}-{os.getpid()}") for kind in ("new", "old"))
        fresh.parent.mkdir(parents=True, exist_ok=True)
        argv = ["git", *self.login.options, "clone", "--quiet", "--bare", "--", address, str(fresh)]
        try:
            self.run(argv, deadline.remaining, env=self._environment()).require(
                "the repository cannot be cloned", hint=f"on the host, as this user: git ls-remote {address}"
            )
            with suppress(FileNotFoundError):
                self.path.rename(old)  # what cannot be removed must not be in the way
            fresh.rename(self.path)
        finally:
            self._tidy()
        self.tell("mirror", f"made in {time.monotonic() - began:.1f} s")

    def _notes_only(self, address: str) -> bool:
        """Whether the one address that its settings have is this one, as git writes what needs no quotes."""
        try:
            lines = (self.path / "config").read_text(errors="replace").splitlines()
        except OSError:
            return False
        return [line.strip() for line in lines if "url" in line.lower()] == [f"url = {address}"]

    def _ambiguous(self, name: str, own: Sequence[str]) -> OpsError:
        both = f"both a branch and a tag are called {name!r}, and are not the same commit"
        return OpsError(both, hint=f"name one of them: {' or '.join(own)}")

    def _tidy(self) -> None:
        """Remove what was made anew, and what those who were killed at it have left."""
        for path in self.path.parent.glob(f".{self.path.name}-*"):
            left = removal.remove(path)
            if left:
                self.tell("warning", f"{path} could not be removed: {left}")

    def _commit(self, name: str, deadline: Deadline) -> str:
        """Return the commit of a name as git reads it; empty for none."""
        words = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        found = self.git(words, deadline.remaining)
        last = found.lines[-1] if found.code == 0 and found.lines else ""
        return last if COMMIT.fullmatch(last) else ""

    def _has(self, commit: str, deadline: Deadline) -> bool:
        """Whether a branch or tag has a commit."""
        if not (self.path / "HEAD").is_file():
            return False
        beyond = self.git(
            ("rev-list", "--max-count=1", commit, "--not", "--branches", "--tags", "--"), deadline.remaining
        )
        return beyond.code == 0 and not any(COMMIT.fullmatch(line) for line in beyond.lines)

    def _require(self, commit: str, deadline: Deadline) -> None:
        if not self._has(commit, deadline):
            hint = "a commit of a fork (a pull request), or one whose branch is no more, is not deployed: push it"
            raise OpsError(f"no branch or tag of {self._repository.address} has {commit[:12]}", hint=hint)

    def _environment(self) -> dict[str, str]:
        return {**_ASK_NOBODY, **os.environ, **_LITERAL, **self._protocols, **self.login.environment}


def _own_refs(name: str) -> list[str]:
    """Return what branch and tag a name may be, by their whole names."""
    refs = [name] if name.startswith("refs/") else [f"{folder}{name}" for folder in _OWN]
    return [ref for ref in refs if ref.startswith(_OWN)]
