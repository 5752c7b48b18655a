"""The agent's record of a slot: what was wanted of it and what was done last."""

from __future__ import annotations

import json
import time
from pathlib import Path

from ops.core import pidfile
from ops.core.identity import Identity
from ops.core.records import asdict, dataclass
from ops.core.regular import content_of
from ops.core.strenum import StrEnum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Intent(StrEnum):
    """What the operator wanted last."""

    UP = "up"
    DOWN = "down"


class Phase(StrEnum):
    """How far the agent got with the process it names."""

    NONE = "none"
    STARTING = "starting"
    READY = "ready"
    REPLACING = "replacing"
    STOPPING = "stopping"


@dataclass(frozen=True)
class SlotRecord:
    """What the agent did to a slot.

    Attributes
    ----------
    process : the last process that was started; None before the first.
    starts : how often a process was started.
    phase_at : when the phase began, seconds since 1970 by the host's clock.
    last_exit : how the last process ended, in words; empty where nobody saw it.
    left : what it had started and a stop could not end.
    """

    intent: Intent = Intent.DOWN
    phase: Phase = Phase.NONE
    phase_at: float = 0.0
    process: Identity | None = None
    starts: int = 0
    last_exit: str = ""
    left: tuple[Identity, ...] = ()

    def starting(self) -> SlotRecord:
        """Give the record of a slot in which a process is about to be started."""
        return SlotRecord(Intent.UP, Phase.STARTING, time.time(), starts=self.starts)

    @classmethod
    def read(cls, path: Path) -> SlotRecord:
        """Read a record; a missing or unreadable one is that of a slot never used.

        Raises
        ------
        OSError : it is there, but this user may not read it.
        """
        try:
            data: Any = json.loads(content_of(path))
            process = data["process"]
            return cls(
                intent=Intent(data["intent"]),
                phase=Phase(data["phase"]),
                phase_at=float(data["phase_at"]),
                process=_identity(process) if process else None,
                starts=int(data["starts"]),
                last_exit=str(data["last_exit"]),
                left=tuple(map(_identity, data.get("left", ()))),
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return cls()

    def write(self, path: Path) -> None:
        """Write the record whole or not at all.

        Raises
        ------
        OSError : the disk is full, the folder is not writable.
        """
        pidfile.write_whole(path, json.dumps(asdict(self)) + "\n", durable=False)


def _identity(data: dict[str, Any]) -> Identity:
    return Identity(int(data["pid"]), int(data["start"]), str(data["boot"]))
