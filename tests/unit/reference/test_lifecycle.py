"""The state machine of a resource."""

from __future__ import annotations

import pytest
from transitions import MachineError

from ops.reference.lifecycle import Lifecycle, Stage


def test_run_and_finish_lead_through_running_and_back() -> None:
    life = Lifecycle(Stage.INITIAL)
    life.run()
    assert life.stage == Stage.RUNNING
    life.finish()
    assert life.stage == Stage.INITIAL


def test_run_takes_over_from_whoever_runs() -> None:
    life = Lifecycle(Stage.RUNNING)
    life.run()
    assert life.stage == Stage.RUNNING


def test_what_does_not_run_cannot_finish() -> None:
    with pytest.raises(MachineError):
        Lifecycle(Stage.INITIAL).finish()
