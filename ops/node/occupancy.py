"""Who holds the lock files of a host, and which slot each of them is in by its own word."""

from __future__ import annotations

from pathlib import Path

from ops.core.handover import PIDFILE_VARIABLE
from ops.core.locks import Byte, holder_of, name_in
from ops.core.records import dataclass

PROCESS_VARIABLE = "KARAFKA_PROCESS"
_ENVIRON_BYTES = 1 << 20


@dataclass(frozen=True)
class Occupant:
    """A living process and the lock it holds.

    Attributes
    ----------
    slot : the name of the slot it is in; empty where nobody can tell.
    pidfile : its own; empty where nobody can tell.
    """

    lock: Path
    pid: int
    slot: str
    pidfile: str

    @property
    def named(self) -> str:
        """What it is called: its slot, else what its lock file is named after."""
        return self.slot or self.lock.stem


def slot_of(pid: int) -> str:
    """Give the name of the slot that a process was started in, by its environment; empty where it does not tell."""
    return _told(pid).get(PROCESS_VARIABLE, "")


def occupants(folder: Path) -> list[Occupant]:
    """Give who holds the lock files of a folder, by name."""
    paths = sorted(path for path in folder.glob("*.lock") if path.is_file()) if folder.is_dir() else []
    return [found for path in paths if (found := occupant_of(path)) is not None]


def occupant_of(lock: Path) -> Occupant | None:
    """Give who holds a lock file; None for nobody.

    Raises
    ------
    OSError : it cannot be opened.
    """
    pid = holder_of(lock, Byte.OWNER)
    if pid is None or pid <= 0:
        return None
    told = _told(pid)
    return Occupant(lock, pid, told.get(PROCESS_VARIABLE) or name_in(lock), told.get(PIDFILE_VARIABLE, ""))


def _told(pid: int) -> dict[str, str]:
    """Read what a process was told at its start (proc(5)); nothing where it is hidden, or has been overwritten."""
    try:
        with Path(f"/proc/{pid}/environ").open("rb") as file:
            data = file.read(_ENVIRON_BYTES)
    except OSError:
        return {}
    pairs = (one.partition(b"=") for one in data.split(b"\0"))
    wanted = {PROCESS_VARIABLE.encode(), PIDFILE_VARIABLE.encode()}
    return {name.decode(): value.decode(errors="replace") for name, _, value in pairs if name in wanted}
