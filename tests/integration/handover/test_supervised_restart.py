"""Processes that supervisor keeps are restarted one after the other: nothing lost, nothing repeated, no rebalance."""

from __future__ import annotations

from ops.core.keeping import Keeping
from ops.core.protocol import Verb
from ops.core.states import State
from ops.sandbox.supervisord import LocalSupervisord
from tests.labs.handover_lab import HandoverLab, MakeHandoverLab


def test_a_rolling_restart_under_traffic(lab_of: MakeHandoverLab, supervisord: LocalSupervisord) -> None:
    # Given two processes at work, kept by supervisor
    def keep(lab: HandoverLab) -> Keeping:
        supervisord.install(lab.name, lab.specs, watchdog_seconds=30.0)
        return supervisord.keeping(lab.name)

    lab = lab_of(processes=2, partitions=4, keep=keep)
    lab.traffic(60)
    generation = lab.settled_generation()
    before = {report.pid for report in lab.ask(Verb.STATUS)}

    # When they are restarted one after the other
    reports = lab.ask(Verb.RESTART, at_once=False)

    # Then others work in their places, and each step has its time
    for report in reports:
        assert (report.ok, report.state) == (True, State.RUNNING), report
        assert report.timings.keys() == {"stop", "start"}
        print(report.message, report.timings)
    assert not before & {report.pid for report in reports}
    # And no message was lost or repeated, and the group never rebalanced
    tally = lab.end_traffic()
    print(tally)
    assert tally.exact, tally
    assert lab.generation() == generation
    assert all(report.ok for report in lab.ask(Verb.STOP))
