"""Releases of an application on a host: what is asked of its agent while one is deployed, and what it answers.

Layout and words are Capistrano 3's: `deploy_to/{releases/<UTC 14 digits>,current,shared,repo,revisions.log}`.
"""

from __future__ import annotations

import re

from ops.core.records import dataclass, field
from ops.core.strenum import StrEnum

BRANCH = r"[^-\s\x00-\x1f\x7f-\x9f][^\s\x00-\x1f\x7f-\x9f]*"  # a branch, tag or commit: never an option, nor two words
NAME = re.compile(r"[0-9]{14}")
ARTIFACT_FILE = re.compile(
    r"[^-./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*"
)  # put there by that name: never a path, nor an option
HOOK_FILE = re.compile(r"(?P<when>before|after)-(?P<stage>[a-z_]+)(\.[A-Za-z0-9_.-]+)?")


class ReleaseState(StrEnum):
    """How a release is."""

    UPDATING = "updating"  # not whole yet: never published, removed by the next deploy
    WHOLE = "whole"
    BAD = "bad"  # whole or not, nothing goes back to it
    REMOVING = "removing"


@dataclass(frozen=True)
class Release:
    """One release, as its host has noted it; one that somebody else made is whole and has a name alone.

    Attributes
    ----------
    name : its folder below releases/.
    made_at, published_at : seconds since 1970; 0 for unknown, or never.
    previous : what `current` led to when it was published: what a rollback from it goes to.
    reason : why it is bad.
    """

    name: str
    state: ReleaseState = ReleaseState.WHOLE
    revision: str = ""
    branch: str = ""
    performer: str = ""
    made_at: float = 0.0
    published_at: float = 0.0
    previous: str = ""
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether `current` may lead to it."""
        return self.state is ReleaseState.WHOLE


class DeployAction(StrEnum):
    """What an agent can be asked to do for a deploy."""

    CHECK = "check"  # make the folders, say what is in the way of a deploy
    LIST = "list"
    RESOLVE = "resolve"  # which commit a branch, tag or revision is, by the mirror in repo/
    UPDATE = "update"  # make the release: its files, its links
    BUILD = "build"
    VERIFY = "verify"  # compare what it reads and writes with the cluster
    PUBLISH = "publish"  # let `current` lead to it
    REVERT = "revert"  # let `current` lead to what it led to before; the release is bad
    MARK = "mark"  # the release is bad
    FINISH = "finish"  # write revisions.log, remove what is too old
    CLEANUP = "cleanup"
    HOOK = "hook"  # run the executable that follows the request


CHANGING = frozenset(DeployAction) - {DeployAction.LIST, DeployAction.VERIFY, DeployAction.RESOLVE}
"""What is written into the host's audit log."""


@dataclass(frozen=True)
class Artifact:
    """A file that follows the request: name, bytes, SHA-256 in hexadecimal."""

    name: str
    size: int
    digest: str


@dataclass(frozen=True)
class DeployCall:
    """One step of a deploy on one host.

    Attributes
    ----------
    release : the name; of a cleanup or list none.
    revision, branch, performer : for the records; the commit, what it was called, who deploys.
    source : the git repository; not used where there is an artifact.
    build : argv of the build step; empty for the default one, None for none.
    python : of a check, the interpreter below the release's folder.
    env : of the build, the check or the hook.
    keep : good releases that are kept.
    reason : why the release is bad; of a publish, why the one before is.
    leaving : of a publish, the release that is bad from now on; of a finish, what was gone back from.
    brokers : of a check, who must be reachable, `host:port`.
    wall : the operator's clock, seconds since 1970.
    tool : of a check, the operator's version of the tool.
    oldest : of a build or a check, the interpreter that the release's own venv has to be of at least; empty for any.
    name : of a hook.
    """

    action: DeployAction
    deploy_to: str
    release: str = ""
    revision: str = ""
    branch: str = ""
    performer: str = ""
    source: str = ""
    artifact: Artifact | None = None
    linked_dirs: tuple[str, ...] = ()
    linked_files: tuple[str, ...] = ()
    build: tuple[str, ...] | None = None
    python: str = ""
    env: dict[str, str] = field(default_factory=dict)
    keep: int = 5
    reason: str = ""
    leaving: str = ""
    brokers: tuple[str, ...] = ()
    wall: float = 0.0
    tool: str = ""
    oldest: tuple[int, ...] = ()
    name: str = ""
    timeout_seconds: float = 600.0


@dataclass(frozen=True)
class DeployAnswer:
    """What came of it.

    Attributes
    ----------
    current : the release that `current` leads to; empty for none.
    previous : what a rollback from there goes to; empty for nothing.
    releases : all of them, by name.
    revision : the commit that a branch was resolved to.
    troubles : what is in the way, one text each.
    done : what was done, in words.
    """

    current: str = ""
    previous: str = ""
    releases: tuple[Release, ...] = ()
    revision: str = ""
    troubles: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
