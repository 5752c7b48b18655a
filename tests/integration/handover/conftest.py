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


@pytest.fixture(scope="package")
def shared_lab(tmp_path_factory: pytest.TempPathFactory, kafka: SharedKafka) -> Iterator[HandoverLab]:
    """One process on two partitions, which all tests that want one restart in turn; at last once more."""
    made = HandoverLab(tmp_path_factory.mktemp("handover"), kafka, processes=1, partitions=2)
    try:
        yield made
        made.afresh()
        report = made.one(Verb.RESTART)
        assert report.ok, f"{report}\n{made.log()}"
        made.assert_nothing_left()
    finally:
        made.close()


@pytest.fixture
def lab(shared_lab: HandoverLab) -> Iterator[HandoverLab]:
    """The shared process at work, as a test before has left it, under 25 messages a second."""
    shared_lab.afresh()
    shared_lab.traffic(25)
    yield shared_lab
    shared_lab.quieten()
