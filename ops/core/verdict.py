"""What a gate or a preflight says: passed or not, and why."""

from __future__ import annotations

from ops.core.cluster import Partition
from ops.core.errors import GateRefusedError
from ops.core.records import dataclass
from ops.core.strenum import StrEnum


class Verdict(StrEnum):
    """The outcome."""

    PASSED = "passed"
    WAITING = "not yet"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # the cluster cannot be asked


class Cause(StrEnum):
    """Why a gate does not let pass, or a preflight refuses."""

    DOWN = "process down"
    REBALANCING = "rebalancing"
    NO_MEMBERS = "no members"
    MISSING = "member missing"
    DUPLICATE = "instance id in use twice"
    STRANGER = "unmanaged consumer"
    NO_TOPIC = "topic missing"
    UNOWNED = "partitions unowned"
    ASSIGNMENT = "assignments differ"
    GENERATION = "older generation"
    NO_LEADER = "no leader"
    UNCOMMITTED = "never committed"
    WEDGED = "not advancing"
    LAG = "lag"
    SESSION = "session timeout too short"
    COMMAND = "command cannot be started"
    UNREACHABLE = "cluster unreachable"


FINAL = frozenset({Cause.DOWN})  # waiting does not help
AFTER_A_RESTART = frozenset(
    {
        *(Cause.REBALANCING, Cause.NO_MEMBERS, Cause.MISSING, Cause.UNOWNED, Cause.ASSIGNMENT, Cause.GENERATION),
        *(Cause.UNCOMMITTED, Cause.WEDGED, Cause.LAG),
    }
)  # what is so for a while after every restart: it counts where it stays, not beside what ends the wait at once
BY_RECORD = frozenset({Cause.ASSIGNMENT, Cause.GENERATION, Cause.DUPLICATE})  # a newer status record may help


@dataclass(frozen=True)
class Reason:
    """One thing that is not as it has to be.

    Attributes
    ----------
    text : for people, with the group and the names of all concerned.
    pending : how it is said while it is waited for and may pass; empty for as `text` says it.
    subject : the process, member or topic it is about; empty for the group as a whole.
    partitions : it is about.
    """

    cause: Cause
    group: str
    text: str
    subject: str = ""
    partitions: tuple[Partition, ...] = ()
    pending: str = ""

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Judgement:
    """A verdict with its reasons.

    Attributes
    ----------
    reasons : why it is not passed.
    overruled : what was found and had been accepted beforehand (`--force`).
    elapsed_seconds : since the gate began to look.
    final : whether waiting does not help.
    """

    verdict: Verdict
    reasons: tuple[Reason, ...] = ()
    overruled: tuple[Reason, ...] = ()
    elapsed_seconds: float = 0.0
    final: bool = False

    @property
    def causes(self) -> frozenset[Cause]:
        """Why it is not passed, in short."""
        return frozenset(one.cause for one in self.reasons)

    def require(self, what: str) -> None:
        """Go on if it is passed.

        Parameters
        ----------
        what : `the gate after batch 1`, `the preflight`.

        Raises
        ------
        GateRefusedError : it is not.
        """
        if self.verdict is not Verdict.PASSED:
            raise GateRefusedError(
                f"{what}: {self.verdict} after {self.elapsed_seconds:.1f} s"
                + "".join(f"\n  - {reason}" for reason in self.reasons),
                hint="fab karafka.status and fab karafka.lag show the processes and their groups",
            )


def judged(
    reasons: list[Reason],
    accepted: frozenset[Cause],
    elapsed_seconds: float,
    *,
    waiting: bool,
    final: frozenset[Cause] = FINAL,
) -> Judgement:
    """Give the verdict that reasons lead to.

    Parameters
    ----------
    accepted : causes that stop nothing.
    waiting : whether what may pass is waited for.
    final : causes that do not pass.
    """
    against = tuple(one for one in reasons if one.cause not in accepted)
    lasting = any(one.cause in final for one in against)
    verdict = Verdict.PASSED if not against else Verdict.WAITING if waiting and not lasting else Verdict.REFUSED
    overruled = tuple(one for one in reasons if one.cause in accepted)
    return Judgement(verdict, against, overruled, round(elapsed_seconds, 3), lasting)
