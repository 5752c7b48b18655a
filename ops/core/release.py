"""Releases of an application on a host: what is asked of its agent while one is deployed, and what it answers.

Layout and words are Capistrano 3's: `deploy_to/{releases/<UTC 14 digits>,current,shared,repo,revisions.log}`.
"""

from __future__ import annotations

import re

from ops.core.records import dataclass, field
from ops.core.strenum import StrEnum

BRANCH = r"[^-\s\x00-\x1f\x7f-\x9f][^\s\x00-\x1f\x7f-\x9f]*"  # a branch, tag or commit: never an option, nor two words
NAME = re.compile(r"[0-9]{14}")
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
ARTIFACT_FILE = re.compile(
    r"[^-./\x00-\x1f\x7f][^/\x00-\x1f\x7f]*"
)  # put there by that name: never a path, nor an option
_FOLDER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")  # what other tools call releases: no path, nor an option
_REVISION = re.compile(rf"{COMMIT.pattern}|sha256:[0-9a-f]{{16}}")
HOOK_FILE = re.compile(r"(?P<when>before|after)-(?P<stage>[a-z_]+)(\.[A-Za-z0-9_.-]+)?")


def is_release_name(text: str) -> bool:
    """Whether a folder may be a release: one's name goes from host to host, into paths and commands."""
    return _FOLDER.fullmatch(text) is not None


def is_newer(name: str, than: str) -> bool:
    """Whether a release was made after another one; names that are no times have no order."""
    return bool(NAME.fullmatch(name) and NAME.fullmatch(than) and name > than)


def _check(names: tuple[str, ...], revision: str, texts: tuple[str, ...] = ()) -> None:
    """Look at what one host's answer hands to others.

    Raises
    ------
    ValueError : it is nothing of the kind.
    """
    for name in names:
        if name and not is_release_name(name):
            raise ValueError(f"{name!r:.100} is no name of a release")
    if revision and not _REVISION.fullmatch(revision):
        raise ValueError(f"{revision!r:.100} is no revision")
    for text in texts:
        if not text.isprintable():
            raise ValueError(f"{text!r:.100} has control characters in it")


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
    built : False where its build failed: nothing ever leads to it.
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
    built: bool = True

    def __post_init__(self) -> None:
        """Refuse what could not be handed on; see `_check`."""
        _check((self.name, self.previous), self.revision, (self.branch,))

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
LISTING = frozenset({DeployAction.CHECK, DeployAction.LIST, DeployAction.REVERT})
"""What is answered with the releases that there are then: to read all their records takes a host some time."""


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
    tree : the folder of the repository that becomes the release; empty for all of it.
    strip : leading folders of an artifact's names that are left out.
    build : argv of the build step; empty for the default one, None for none.
    python : of a check, the interpreter below the release's folder.
    env : of the build, the check or the hook.
    keep : good releases that are kept.
    reason : why the release is bad; of a publish, why the one before is.
    leaving : of a publish, the release that is bad from now on; of a finish, what was gone back from.
    brokers : of a check, who must be reachable, `host:port`.
    wall : the operator's clock, seconds since 1970.
    stage : of a check, for whom the host is written down where setup has not.
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
    stage: str = ""
    tree: str = ""
    strip: int = 0

    def __post_init__(self) -> None:
        """Refuse what names no release, or no revision; see `_check`."""
        _check((self.release, self.leaving), self.revision)

    @property
    def following(self) -> int:
        """How many bytes follow the request; 0 for none, or as many as there are."""
        return self.artifact.size if self.artifact is not None and self.action is DeployAction.UPDATE else 0


@dataclass(frozen=True)
class DeployAnswer:
    """What came of it.

    Attributes
    ----------
    current : the release that `current` leads to; empty for none, and where it is not told: see `LISTING`.
    previous : what a rollback from there goes to; empty for nothing.
    releases : all of them, by name.
    revision : the commit that a branch was resolved to.
    troubles : what is in the way, one text each.
    done : what was done, in words.
    remarks : what could not be done and keeps nothing from going on, in words.
    """

    current: str = ""
    previous: str = ""
    releases: tuple[Release, ...] = ()
    revision: str = ""
    troubles: tuple[str, ...] = ()
    done: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what other hosts could take for something else; see `_check`."""
        _check((self.current, self.previous), "")
        if self.revision and not COMMIT.fullmatch(self.revision):
            raise ValueError(f"{self.revision!r:.100} is no commit")
