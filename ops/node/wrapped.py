"""What the wrapper of a supervised process writes down for the agent: how far it got with its process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ops.core import pidfile
from ops.core.identity import Identity
from ops.core.regular import content_of
from ops.core.strenum import StrEnum


class Stage(StrEnum):
    """How far it got."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"  # it was never ready, and has ended
    STOPPED = "stopped"  # it was asked to end, and has
    DIED = "died"  # it ended after it was ready, and nobody asked


ENDED = frozenset({Stage.FAILED, Stage.STOPPED, Stage.DIED})


@dataclass(frozen=True)
class Wrapped:
    """One process of one wrapper.

    Attributes
    ----------
    process : None before there is one.
    how : in words: `ready after 0.4 s`, `it exited with 3 after 0.1 s`, `ended after 2.0 s`.
    status : what the process said of itself beside READY=1.
    left : what it had started and could not be ended.
    """

    stage: Stage
    wrapper: Identity
    process: Identity | None = None
    how: str = ""
    status: str = ""
    left: tuple[Identity, ...] = ()

    @classmethod
    def read(cls, path: Path) -> Wrapped | None:
        """Read what a wrapper wrote; None where there is nothing that makes sense.

        Raises
        ------
        OSError : it is there, but this user may not read it.
        """
        try:
            data: Any = json.loads(content_of(path))
            return cls(
                Stage(data["stage"]),
                Identity(**data["wrapper"]),
                Identity(**data["process"]) if data["process"] else None,
                str(data["how"]),
                str(data["status"]),
                tuple(Identity(**one) for one in data.get("left", ())),
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def write(self, path: Path) -> None:
        """Write it whole or not at all.

        Raises
        ------
        OSError : the disk is full, the folder is not writable.
        """
        pidfile.write_whole(path, json.dumps(asdict(self)) + "\n", durable=False)
