"""Evidence of rollouts."""

from __future__ import annotations

import pytest

from tests.labs.evidence import Make, warm_rollout


@pytest.fixture
def rollout() -> Make:
    return warm_rollout
