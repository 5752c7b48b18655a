"""Twenty warm restarts in a row under load, measured by what came out."""

from __future__ import annotations

import pytest

from ops.core.locks import Byte
from ops.core.protocol import Verb
from tests.labs.handover_lab import MakeHandoverLab

RATE = 300
ROUNDS = 10  # of two slots each


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_twenty_restarts_under_load_lose_repeat_and_leave_nothing(lab_of: MakeHandoverLab) -> None:
    # Given two processes on six partitions under 300 messages a second
    lab = lab_of(processes=2, partitions=6)
    lab.traffic(RATE)
    pids = {lab.holder(Byte.OWNER, index) for index in range(2)}
    generation = lab.settled_generation()

    # When both are restarted ten times, one after the other
    for _ in range(ROUNDS):
        for report in lab.ask(Verb.RESTART, at_once=False):
            assert report.ok, f"{report}\n{lab.log()}"
            assert report.timings.keys() == {"standby", "drain", "takeover"}
            pids.add(report.pid)

    # Then each time another process took over, no message was lost or repeated, and the group never rebalanced
    assert len(pids) == 2 + 2 * ROUNDS
    tally = lab.end_traffic()
    assert tally.exact, tally
    assert lab.generation() == generation
    # And no process or file is left over, and no heal was needed
    lab.assert_nothing_left()
    for report in lab.ask(Verb.STATUS):
        assert report.consumer["groups"][lab.name]["rejoin_heals"] == 0
