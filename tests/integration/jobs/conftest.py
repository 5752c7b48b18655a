"""An app with background jobs on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.sandbox.shared import SharedKafka
from tests.labs.brokers import SpareKafka
from tests.labs.jobs_lab import JobsLab, MakeJobsLab


@pytest.fixture
def lab_of(tmp_path: Path) -> Iterator[MakeJobsLab]:
    """Make the topics of a test on a broker: `lab_of(broker)`; `partitions` of the jobs topic."""
    labs: list[JobsLab] = []

    def make(broker: SharedKafka | SpareKafka, *, partitions: int = 4) -> JobsLab:
        name = broker.unique("jobs")
        directory = tmp_path / name
        directory.mkdir()
        lab = JobsLab(broker.bootstrap, name, directory)
        broker.create_topics({f"{name}.jobs": partitions, f"{name}-in": 2, f"{name}-out": 2})
        labs.append(lab)
        return lab

    yield make
    for lab in labs:
        lab.close()


@pytest.fixture
def lab(kafka: SharedKafka, lab_of: MakeJobsLab) -> JobsLab:
    """One app on the shared broker."""
    return lab_of(kafka)
