"""Consumers that hand over to each other, on a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ops.core.keeping import Keeping
from ops.core.protocol import Verb
from ops.sandbox.shared import SharedKafka
from tests.labs.handover_lab import HandoverLab, MakeHandoverLab


@pytest.fixture
def lab_of(tmp_path: Path, kafka: SharedKafka) -> Iterator[MakeHandoverLab]:
    """Make a started lab: `lab_of(processes=2, partitions=4)`; one that reads `more` topics than `in`.

    `keep` may put its processes under a manager, and says which.
    """
    labs: list[HandoverLab] = []

    def make(
        processes: int = 1,
        partitions: int = 2,
        *,
        more: tuple[str, ...] = (),
        keep: Callable[[HandoverLab], Keeping] = lambda _: Keeping(),
    ) -> HandoverLab:
        lab = HandoverLab(tmp_path / f"lab-{len(labs)}", kafka, processes=processes, partitions=partitions)
        labs.append(lab)
        lab.keeping = keep(lab)
        for topic in more:
            lab.create_topic(topic, partitions)
        if more:
            lab.deploy("in", *more)
        for report in lab.ask(Verb.START):
            assert report.ok, report
        return lab

    yield make
    for lab in labs:
        lab.close()


@pytest.fixture
def lab(lab_of: MakeHandoverLab) -> HandoverLab:
    """One process on two partitions, under 40 messages a second."""
    made = lab_of()
    made.traffic(40)
    return made
