"""What an agent can be asked to do."""

from __future__ import annotations

from ops.core.records import dataclass
from ops.core.strenum import StrEnum


class Verb(StrEnum):
    """What an agent can be asked to do."""

    STATUS = "status"
    START = "start"
    STOP = "stop"
    RESTART = "restart"
    LOG = "log"
    LEASE = "lease"  # what `Request.lease` says
    HISTORY = "history"  # what `Request.history` says
    PROGRESS = "progress"  # the consumers' own records of when they finished what
    DESCRIBE = "describe"  # what the release that is there now reads, by its own word: one process
    FACTS = "facts"  # what the host is like; `Request.facts` says which files are wanted
    INSTALL = "install"  # `Request.install` says what is to be there
    UNINSTALL = "uninstall"  # what an install has put there
    ENABLE = "enable"  # start the processes with the host
    DISABLE = "disable"
    DEPLOY = "deploy"  # what `Request.deploy` says
    MIGRATE = "migrate"  # to `Request.keeping`, from whoever keeps each process now
    EXEC = "exec"  # the command of `Request.exec`, in the environment of one process


ASKING = frozenset({Verb.STATUS, Verb.LOG, Verb.PROGRESS, Verb.DESCRIBE, Verb.FACTS})
"""The verbs that change nothing."""
LEFT = ASKING | {Verb.EXEC}
"""The verbs whose agents end what they do as soon as nobody listens: Ctrl-C leaves them at once."""
ROLLING = frozenset({Verb.RESTART, Verb.MIGRATE})
"""The verbs that go batch after batch, and on each host process after process."""
UPKEEP = frozenset({Verb.FACTS, Verb.INSTALL, Verb.UNINSTALL, Verb.ENABLE, Verb.DISABLE})
"""The verbs about what keeps the processes, rather than the processes."""


@dataclass(frozen=True)
class LogCall:
    """Which lines of the processes' logs; each comes as an event whose step is `LINE`.

    Attributes
    ----------
    lines : how many of each process, the last ones.
    since_seconds : none that are older, by the host's clock; None for any age.
    follow : go on with what comes, until nobody listens any more.
    """

    lines: int = 20
    since_seconds: float | None = None
    follow: bool = False


LINE = "line"
