"""The lease: one rollout or deploy of a stage at a time, kept on the stage's first host.

What both ends of it say to each other. Its number only ever grows (a fencing token): hosts note the highest one they
have seen and refuse work under a lower one, so that an operator who wakes up after the lease went to somebody else
does nothing.
"""

from __future__ import annotations

from ops.core.amounts import in_seconds
from ops.core.records import dataclass
from ops.core.strenum import StrEnum

LONGEST_SECONDS = 86_400.0
HIGHEST_NUMBER = 10**15  # beyond what any clock makes: a number above it is damage, or a lie


class LeaseAction(StrEnum):
    """What the host that keeps the lease can be asked."""

    ACQUIRE = "acquire"
    RENEW = "renew"
    RELEASE = "release"
    SHOW = "show"
    BREAK = "break"


@dataclass(frozen=True)
class LeaseCall:
    """One question to the host that keeps the lease.

    Attributes
    ----------
    key : known to the owner alone, made by it before it asks; asked for twice under the same key, the lease is the
        same one, so that a lost answer does no harm.
    holder : `user@host pid 4711`, for people.
    reason : what it is held for; of a break, why it is broken.
    run : the address of the CI run, where there is one.
    ttl_seconds : how long it lasts from now on without a renewal.
    above : of a break: the highest number that any host has seen.
    """

    action: LeaseAction
    key: str = ""
    holder: str = ""
    reason: str = ""
    run: str = ""
    ttl_seconds: float = 60.0
    above: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.ttl_seconds <= LONGEST_SECONDS:
            raise ValueError(f"a lease lasts between 0 and {in_seconds(LONGEST_SECONDS)}, not {self.ttl_seconds!r}")


@dataclass(frozen=True)
class LeaseInfo:
    """How the lease is, or was when it ended; for people, the key is not in it.

    Attributes
    ----------
    number : of the last time it was acquired or broken; 0 before the first.
    held : whether somebody has it now.
    since : when it was acquired, seconds since 1970 by the host's clock; to be shown, never compared.
    held_seconds : how long it has been held, by a clock that nobody sets; None when the host was restarted since.
    expires_seconds : how long until it ends without a renewal; 0 when nobody has it.
    ended : how it ended, in words; empty while it is held.
    """

    number: int = 0
    held: bool = False
    holder: str = ""
    reason: str = ""
    run: str = ""
    since: float = 0.0
    held_seconds: float | None = None
    expires_seconds: float = 0.0
    ended: str = ""


@dataclass(frozen=True)
class LeaseAnswer:
    """What the host that keeps the lease answers.

    Attributes
    ----------
    ok : whether what was asked for is so now.
    lease : how it is after that.
    message : why not, in words.
    seen : the highest number this host's agent was ever asked under.
    """

    ok: bool
    lease: LeaseInfo
    message: str = ""
    seen: int = 0


@dataclass(frozen=True)
class Fence:
    """The lease that a host is asked under; a host that has seen a higher number refuses.

    Attributes
    ----------
    holder : who has it, for the text of the refusal that somebody else gets.
    """

    number: int
    holder: str
