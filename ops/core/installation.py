"""Files that keep an application's processes on a host: what is asked of its agent, and what it answers.

Units of systemd, programs of supervisor, rules of logrotate. They are rendered by the operator; the agent tells what is
there (`Facts`), and puts them in place (`InstallCall`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field

SETUP_MARK = "karafka-ops.json"
"""In the venv that setup has made: which build it has, and which interpreter it is of."""


@dataclass(frozen=True)
class HostFile:
    """One file to be on a host: absolute path, text, mode."""

    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True)
class PresentFile:
    """One file that is on a host.

    Attributes
    ----------
    trouble : why its text could not be read.
    of_bytes : the digest of its bytes, where the text does not have all of them: it is long, or no UTF-8.
    """

    text: str
    mode: int
    trouble: str = ""
    of_bytes: str = ""

    @property
    def digest(self) -> str:
        """The digest by which it is known again."""
        return self.of_bytes or digest(self.text)


@dataclass(frozen=True)
class FactsCall:
    """A question after a host's facts.

    Attributes
    ----------
    deploy_to : the application's folder.
    paths : files whose text is wanted, beside those that an install has put there; `~/` is the agent's home.
    conf_d : the folder that supervisor's programs have to go into; empty for any that it includes.
    """

    deploy_to: str
    paths: tuple[str, ...] = ()
    conf_d: str = ""


@dataclass(frozen=True)
class OpenFiles:
    """How many files a process has open, and how many it may have (its soft limit)."""

    used: int
    limit: int


@dataclass(frozen=True)
class Space:
    """What is free, and what there is, of a file system: bytes and inodes (0 where it counts none)."""

    bytes_free: int
    bytes_all: int
    inodes_free: int
    inodes_all: int


@dataclass(frozen=True)
class Facts:
    """What a host is like.

    Attributes
    ----------
    user, group, home : of the agent: where root deploys what belongs to somebody else, of that one.
    owner, owner_group : of deploy_to; empty where it is not there.
    python, tool : versions of the agent's interpreter, and of the tool.
    made_of : the interpreter that setup made the agent's of: where it is, and what a setting named.
    files : path -> what is there, of those asked for and those that an install has put there.
    installed : kind of manager -> path -> digest of what an install has put there.
    sudo : why `sudo -n` does not work; empty where it does, or is not wanted.
    manager : why the manager does not answer; empty where it does.
    enabled : unit -> the word of `systemctl is-enabled`.
    linger : whether the user's own units outlive the session; None where that is of no matter, or nobody can tell.
    autostart : whether supervisor starts the programs with itself; None where that is of no matter.
    program_file : where their conf file goes, so that supervisord includes it; empty where that is not known.
    keepers : living process -> the kind of manager that keeps it.
    wall : the host's clock, seconds since 1970.
    logs : process -> size of its log in bytes.
    open_files : of each living process.
    written : of each living process the files that it has open for writing, where it has any.
    interpreter : the tool's, where root keeps it apart from the application; empty for where the settings have it.
    """

    user: str
    group: str
    home: str
    owner: str
    owner_group: str
    python: str
    tool: str
    wall: float
    made_of: tuple[str, ...] = ()
    files: dict[str, PresentFile] = field(default_factory=dict)
    installed: dict[str, dict[str, str]] = field(default_factory=dict)
    sudo: str = ""
    manager: str = ""
    enabled: dict[str, str] = field(default_factory=dict)
    linger: bool | None = None
    autostart: bool | None = None
    program_file: str = ""
    keepers: dict[str, str] = field(default_factory=dict)
    space: Space | None = None
    logs: dict[str, int] = field(default_factory=dict)
    open_files: dict[str, OpenFiles] = field(default_factory=dict)
    interpreter: str = ""
    written: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class InstallCall:
    """What is to be on a host.

    Attributes
    ----------
    files : all that the settings render for it, also what is there already.
    remove : paths that an earlier install has put there, and that the settings do not have any more.
    seen : path -> digest of what was there when the operator looked, empty for nothing; what changed meanwhile keeps
        everything as it is.
    """

    files: tuple[HostFile, ...]
    remove: tuple[str, ...] = ()
    seen: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InstallAnswer:
    """What was done on a host.

    Attributes
    ----------
    done : in words, one for each file or unit.
    restart : living processes that run as what was there before says.
    notes : what else the operator should know.
    """

    done: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


_HEADER = re.compile(r"^[#;] Rendered from the settings of \S+ for (/.*): `fab karafka\.install`")


def rendered_for(text: str) -> str:
    """Give the deploy_to of the application that a file says it was rendered for; empty for one that says nothing."""
    match = _HEADER.match(text)
    return match[1] if match else ""


def digest(text: str) -> str:
    """Give the digest by which a file's text is known again."""
    return hashlib.sha256(text.encode()).hexdigest()
