"""Restarts after a death: counted where every start goes through, whoever keeps the process.

A stop by the agent or by the wrapper removes the pidfile. So a pidfile that names a process of this boot which is gone
means that it ended without anybody's asking; whoever starts the slot anew notes that.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from ops.core import pidfile
from ops.core.identity import UnseenError, boot_id
from ops.core.records import asdict, dataclass, replace
from ops.core.regular import content_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LIMIT = 3
WINDOW_SECONDS = 300.0
"""As many restarts after a death within so long make a process crash-looping."""
QUIET_SECONDS = 30.0
"""A process that an agent started and that has lived for so long is none, whatever was before: a crontab that starts it
again and again is an operator, too. Who restarts it is believed at once, see `forget`."""
_KEPT = 20  # times


@dataclass(frozen=True)
class Deaths:
    """What is noted of a slot.

    Attributes
    ----------
    boot : the boot that the times are of.
    times : of the last restarts after a death, by the boot clock.
    restarts : all that whoever keeps the process did by itself, since the slot was first used.
    """

    boot: str = ""
    times: tuple[float, ...] = ()
    restarts: int = 0

    @classmethod
    def read(cls, path: Path) -> Deaths:
        """Read them; a missing or unreadable file tells of none."""
        try:
            data: Any = json.loads(content_of(path))
            times = tuple(float(one) for one in data["times"]) if data["boot"] == boot_id() else ()
            return cls(boot_id(), times, int(data["restarts"]))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return cls(boot_id())

    def recent(self) -> int:
        """Count the restarts within the window."""
        since = time.clock_gettime(time.CLOCK_BOOTTIME) - WINDOW_SECONDS
        return sum(one >= since for one in self.times)


def note(path: Path, left: pidfile.PidRecord | None, *, by_itself: bool) -> None:
    """Note that a slot is started anew, if the pidfile that was left in it tells of a death.

    Where that cannot be written the process is started all the same.

    Parameters
    ----------
    left : the pidfile; None for none.
    by_itself : no agent starts it, but whoever keeps the process.
    """
    if left is None or left.identity is None or left.identity.boot != boot_id():
        return
    try:
        if left.identity.alive():
            return
    except UnseenError:  # what cannot be seen is nobody's death
        return
    before = Deaths.read(path)
    times = (*before.times, round(time.clock_gettime(time.CLOCK_BOOTTIME), 2))[-_KEPT:]
    _write(path, replace(before, times=times, restarts=before.restarts + by_itself))


def forget(path: Path) -> None:
    """Begin to count anew: an operator's restart puts another process, and maybe another release, in the slot."""
    before = Deaths.read(path)
    if before.times:
        _write(path, replace(before, times=()))


def text(recent: int) -> str:
    """Say what was counted."""
    return f"restarted {recent} times after a death within {WINDOW_SECONDS / 60:g} min"


def _write(path: Path, deaths: Deaths) -> None:
    with suppress(OSError):
        pidfile.write_whole(path, json.dumps(asdict(deaths)) + "\n", durable=False)
