"""Evidence of rollouts as they are, made by hand."""

from __future__ import annotations

import random
from collections.abc import Callable

from ops.core.evidence import Evidence, Outcome, Phase, PhaseKind, SlotEvidence, VerdictEvidence
from ops.core.stalls import Generation, GroupEvidence, PartitionEvidence, Span, Stall

Make = Callable[..., Evidence]


def warm_rollout(slots: int = 4, partitions: int = 12, each_seconds: float = 2.5, **changes: object) -> Evidence:
    """Make evidence of warm handovers, one after the other; the partitions dealt out in turn."""
    dice = random.Random(slots * 1000 + partitions)
    end = slots * each_seconds + 1
    some = []
    for index in range(slots):
        start = 0.6 + index * each_seconds
        phases = (
            Phase(PhaseKind.PREPARING, start, 0.42),
            Phase(PhaseKind.DRAINING, start + 0.42, 0.031),
            Phase(PhaseKind.TAKING_OVER, start + 0.451, 0.027),
        )
        some.append(
            SlotEvidence(
                host=f"web{index // 2 + 1}.example.com",
                process=f"karafka-{index % 2}",
                batch=index // 2 + 1,
                warm=True,
                old_pid=1000 + index,
                new_pid=2000 + index,
                release="20260102000000",
                message=f"handed over to process {2000 + index}",
                phases=phases,
            )
        )
    rows = []
    for number in range(partitions):
        slot = some[number % slots]
        cut = slot.phases[1].start
        gap = 0.06 + dice.random() * 0.05
        other = Stall(dice.random() * end * 0.9, 0.07, 0.08)
        lag = dice.randrange(9)
        rows.append(
            PartitionEvidence(
                group="sources",
                topic="sources_refresh",
                number=number,
                slot=slot.name,
                stalls=tuple(sorted([other, Stall(cut - 0.02, gap, gap + 0.01)], key=lambda stall: stall.start)),
                spans=(
                    Span(slot.name, slot.old_pid or 0, -60.0, cut - 0.03),
                    Span(slot.name, slot.new_pid or 0, cut - 0.03 + gap, end),
                ),
                undisturbed_seconds=0.05 + dice.random() * 0.03,
                committed=Stall(cut, 0.2, 0.2) if number == 3 else None,
                lag_before=lag,
                lag_peak=lag + 9,
                lag_after=lag,
            )
        )
    values: dict[str, object] = {
        "application": "sources",
        "stage": "production",
        "strategy": "rolling, batch 1, canary 1",
        "holder": "ann@laptop pid 4711",
        "number": 1_767_312_000,
        "started_at": 1_767_312_000.0,
        "seconds": end,
        "outcome": Outcome.DONE,
        "exit_code": 0,
        "release_before": "20260101000000",
        "release": "20260102000000",
        "slots": tuple(some),
        "groups": (GroupEvidence("sources", (Generation(-1.0, 7),), 0, 31, 140, 28),),
        "partitions": tuple(rows),
        "verdicts": tuple(
            VerdictEvidence(f"gate after batch {batch + 1}", "passed", (2 * batch + 1.7) * each_seconds, 0.6)
            for batch in range(slots // 2)
        ),
        "looks_seconds": 0.52,
    }
    return Evidence(**{**values, **changes})  # type: ignore[arg-type]
