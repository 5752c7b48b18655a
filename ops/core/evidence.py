"""What a rollout did, as data: what each slot went through, how long each partition stood still, what the group did.

Times are seconds since the rollout began, on one axis; what happened before it is negative. None is unknown, which is
not zero.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from ops.core.decoding import decode
from ops.core.errors import OpsError
from ops.core.stalls import GroupEvidence, PartitionEvidence
from ops.core.strenum import StrEnum

VERSION = 1


class Outcome(StrEnum):
    """How a rollout ended."""

    DONE = "done"
    FAILED = "failed"
    REFUSED = "refused"  # by a preflight or a gate
    INTERRUPTED = "interrupted"


class PhaseKind(StrEnum):
    """What a slot goes through; in the first one the old process works on."""

    PREPARING = "preparing"  # the replacement starts, until it is warm
    DRAINING = "draining"  # the old one finishes its batch, commits and gives the slot up
    TAKING_OVER = "taking over"  # the new one joins and begins
    STOPPING = "stopping"
    STARTING = "starting"


@dataclass(frozen=True)
class Phase:
    """One phase of a slot."""

    kind: PhaseKind
    start: float
    seconds: float


@dataclass(frozen=True)
class SlotEvidence:
    """What was done to one slot.

    Attributes
    ----------
    batch : in which it was its turn, from 1; 0 if its turn never came.
    warm : whether a warm replacement took it over.
    killed : whether the old process did not end as it was asked to, and was killed.
    release : that it runs now.
    superfluous : it was stopped as the settings have no such slot; no part of any batch.
    outdated : what set it apart from the release that `current` led to, before it was touched; empty where it ran that.
    kept : it was left alone for that; no part of any batch.
    message : what was done in words.
    """

    host: str
    process: str
    batch: int = 0
    ok: bool = True
    warm: bool = False
    old_pid: int | None = None
    new_pid: int | None = None
    release: str = ""
    message: str = ""
    killed: bool = False
    superfluous: bool = False
    outdated: str = ""
    kept: bool = False
    phases: tuple[Phase, ...] = ()

    @property
    def name(self) -> str:
        """Host and process."""
        return f"{self.host} {self.process}"

    @property
    def counts(self) -> bool:
        """Whether it runs what the rollout has brought."""
        return self.ok and not self.superfluous

    def seconds_of(self, *kinds: PhaseKind) -> float | None:
        """Give how long phases took together; None if there was none of them."""
        found = [phase.seconds for phase in self.phases if phase.kind in kinds]
        return sum(found) if found else None


@dataclass(frozen=True)
class VerdictEvidence:
    """What a preflight or gate said.

    Attributes
    ----------
    name : `preflight`, `gate after batch 1`.
    verdict : `passed`, `refused`, ...
    reasons : why.
    overruled : what was found and had been accepted beforehand, by force.
    """

    name: str
    verdict: str
    at: float
    seconds: float
    reasons: tuple[str, ...] = ()
    overruled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evidence:
    """All of it.

    Attributes
    ----------
    number : the lease's.
    holder : who did it.
    run : the address of the CI run.
    reason : what it was done for, in words.
    forced : the reason given for going on against a refusal; empty without.
    started_at : seconds since 1970 by the operator's clock.
    seconds : how long it took, gates and all.
    looks_seconds : the longest time between two looks at committed offsets; None for fewer than two looks.
    notes : what else people are to know, such as a planned rebalance.
    """

    application: str
    stage: str
    strategy: str
    holder: str
    number: int
    started_at: float
    seconds: float
    outcome: Outcome
    exit_code: int
    verb: str = "restart"
    release_before: str = ""
    release: str = ""
    run: str = ""
    reason: str = ""
    forced: str = ""
    slots: tuple[SlotEvidence, ...] = ()
    groups: tuple[GroupEvidence, ...] = ()
    partitions: tuple[PartitionEvidence, ...] = ()
    verdicts: tuple[VerdictEvidence, ...] = ()
    looks_seconds: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(self.started_at))}-{self.number}"

    @property
    def worst(self) -> PartitionEvidence | None:
        """The partition that stood still for longest."""
        stalled = [one for one in self.partitions if one.longest is not None]
        return max(stalled, key=lambda one: one.longest.seconds if one.longest else 0.0, default=None)

    @property
    def undisturbed_seconds(self) -> float | None:
        """The longest stall of any partition before the rollout."""
        known = [one.undisturbed_seconds for one in self.partitions if one.undisturbed_seconds is not None]
        return max(known, default=None)

    @property
    def rebalances(self) -> int | None:
        """Of all groups; None if one of them is unknown."""
        known = [group.rebalances for group in self.groups]
        return None if None in known or not known else sum(one for one in known if one is not None)

    @property
    def stall_limit_seconds(self) -> float:
        """How long a stall may be without being one to look at: twice what is usual here, at least 0.15 s."""
        return max(0.15, 2 * (self.undisturbed_seconds or 0.0))

    def too_long(self, partition: PartitionEvidence) -> bool:
        """Whether a partition stood still for longer than that."""
        return partition.longest is not None and partition.longest.seconds > self.stall_limit_seconds

    def summary(self) -> dict[str, Any]:
        """Give what a list of rollouts shows."""
        worst = self.worst
        attempted = [slot for slot in self.slots if slot.batch]
        return {
            "name": self.name,
            "number": self.number,
            "verb": self.verb,
            "stage": self.stage,
            "release": self.release,
            "strategy": self.strategy,
            "holder": self.holder,
            "run": self.run,
            "reason": self.reason,
            "forced": self.forced,
            "started_at": self.started_at,
            "seconds": round(self.seconds, 3),
            "outcome": str(self.outcome),
            "exit_code": self.exit_code,
            "slots": sum(not slot.superfluous and not slot.kept for slot in self.slots),
            "slots_kept": sum(slot.kept for slot in self.slots),
            "slots_done": sum(slot.ok for slot in attempted),
            "warm": sum(slot.warm for slot in attempted),
            "killed": sum(slot.killed for slot in attempted),
            "longest_stall_seconds": round(worst.longest.seconds, 4) if worst and worst.longest else None,
            "longest_stall_partition": worst.name if worst else None,
            "undisturbed_seconds": None if self.undisturbed_seconds is None else round(self.undisturbed_seconds, 4),
            "rebalances": self.rebalances,
        }

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON data, its summary included."""
        return {"version": VERSION, "summary": self.summary(), **asdict(self)}

    @classmethod
    def from_json(cls, data: Any) -> Evidence:
        """Read what `as_json` gave.

        Raises
        ------
        OpsError : it is none, or of another version.
        """
        if not isinstance(data, dict) or data.get("version") != VERSION:
            version = data.get("version") if isinstance(data, dict) else None
            raise OpsError(f"evidence of version {version} was found, this tool reads {VERSION}")
        try:
            return decode(cls, {key: value for key, value in data.items() if key not in ("version", "summary")})
        except (ValueError, RecursionError) as error:
            raise OpsError(f"the evidence cannot be read: {error}") from error
