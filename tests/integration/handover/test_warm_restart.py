"""A restart hands the slot over: nobody in the group notices, and no message is lost or repeated."""

from __future__ import annotations

import pytest

from ops.core.protocol import Verb
from ops.core.states import State
from tests.labs.handover_lab import HandoverLab

pytestmark = pytest.mark.xdist_group("handover lab")


def test_a_restart_hands_over_to_a_warm_process(lab: HandoverLab) -> None:
    # Given a process at work, which says that it can hand over
    before = lab.one(Verb.STATUS)
    assert before.consumer["handover"] == 1
    generation = lab.generation()

    # When it is restarted
    events, response = lab.answer(lab.agent(Verb.RESTART))

    # Then another process works in its place, and said how long each step took
    report = response.processes[0]
    assert report.ok, report
    assert report.state is State.RUNNING
    assert report.pid != before.pid
    assert [event.step for event in events if event.step != "status"] == ["spawned", "standby", "handing over", "ready"]
    print(report.message)
    assert report.timings.keys() == {"standby", "drain", "takeover"}
    # And no message was lost or repeated, the group never rebalanced, and nothing is left over
    tally = lab.end_traffic()
    assert tally.exact, tally
    assert lab.generation() == generation
    lab.assert_nothing_left()
