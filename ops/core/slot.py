"""Slots: the place of one process on one host, and the files that belong to it."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath

from ops.core.errors import UsageError
from ops.core.records import dataclass

_NAME = re.compile(r"(?P<role>[A-Za-z0-9_][A-Za-z0-9_.-]*)-(?P<index>[0-9]+)")
DEFAULT_ROLE = "karafka"
ROLE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, order=True)
class Slot:
    """One place: role and index, written `karafka-0`; a host in two roles has no clash."""

    role: str
    index: int

    def __str__(self) -> str:
        return f"{self.role}-{self.index}"

    @classmethod
    def parse(cls, text: str) -> Slot:
        """Read a slot's name.

        Raises
        ------
        UsageError : `text` is no slot's name.
        """
        match = _NAME.fullmatch(text)
        if match is None:
            raise UsageError(
                f"{text!r} is no process name", hint="a process is named by role and index, as in karafka-0"
            )
        return cls(match["role"], int(match["index"]))

    def instance_id(self, application: str, host: str) -> str:
        """Give the `group.instance.id` of its static member, the same for ever."""
        return f"{application}.{host}.{self.role}.{self.index}"


@dataclass(frozen=True)
class Roster:
    """The slots that the settings give a host; a process in any other one is superfluous.

    Attributes
    ----------
    pid : the setting, which the names of pidfiles are made of; see `SlotFiles.below`.
    names : of all slots of the host, whichever ones a request is for.
    """

    pid: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class SlotFiles:
    """Where a slot keeps its files, as absolute paths on the host.

    Attributes
    ----------
    pidfile : for people and foreign tools.
    lock : the byte locks; never unlinked or replaced.
    record : what the agent did to it last (intent, number of starts).
    status : what the consumer says of itself.
    log : its standard output and standard error.
    """

    pidfile: str
    lock: str
    record: str
    status: str
    log: str

    @property
    def deaths(self) -> str:
        """Its restarts after a death, see `ops.core.deaths`."""
        return str(PurePosixPath(self.lock).with_suffix(".deaths"))

    @property
    def wrapped(self) -> str:
        """What the wrapper under supervisor says of its process."""
        return str(PurePosixPath(self.lock).with_suffix(".wrapped"))

    @property
    def once(self) -> str:
        """Environment for the next start alone: written before it, gone after it."""
        return str(PurePosixPath(self.lock).with_suffix(".once"))

    @classmethod
    def below(cls, shared: str, pid: str, slot: Slot) -> SlotFiles:
        """Lay the files out below shared/. They carry the slot's own name, whatever else the settings have.

        Parameters
        ----------
        shared : the application's shared folder on the host.
        pid : the setting `pid`, relative to shared/. `tmp/pids/consumers.pid` gives `consumers-0.pid` for the role
            that nobody named, as Capistrano's recipe did; other roles' pidfiles carry the role's name: `big-0.pid`.
        """
        beside, stem, suffix, root = _places(shared, pid)
        name = str(slot)
        named = f"{stem}-{slot.index}" if slot.role == DEFAULT_ROLE else name
        return cls(
            pidfile=f"{beside}{named}{suffix}",
            lock=f"{root}tmp/slots/{name}.lock",
            record=f"{root}tmp/slots/{name}.json",
            status=f"{root}tmp/slots/{name}.status",
            log=f"{root}log/{name}.log",
        )


@lru_cache(256)
def _places(shared: str, pid: str) -> tuple[str, str, str, str]:
    """Return what the paths of a host's slots have in common: a fleet has thousands, and paths are slow to join."""
    root = PurePosixPath(shared)
    pattern = root / pid
    beside = str(pattern.with_name("_"))[:-1]
    return beside, pattern.stem, pattern.suffix, str(root / "_")[:-1]
