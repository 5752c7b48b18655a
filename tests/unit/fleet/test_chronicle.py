"""A rollout's evidence, put together from what agents, gates and consumers say."""

from __future__ import annotations

import pytest

from ops.core.cluster import Group, Partition, Progress
from ops.core.evidence import Evidence, Outcome, Phase, PhaseKind
from ops.core.protocol import Event, ProcessReport
from ops.core.stalls import Generation
from ops.core.states import State
from ops.core.verdict import Cause, Judgement, Reason, Verdict
from ops.fleet.evidence import Chronicle
from ops.render.evidence import grids, totals


class Time:
    """The operator's clock, set by hand."""

    def __init__(self) -> None:
        self.now = 50.0
        head = Evidence("sources", "production", "rolling", "ann", 7, 1_800_000_000.0, 0.0, Outcome.DONE, 0)
        self.chronicle = Chronicle(head, lambda: self.now)

    def says(self, at: float, step: str, detail: str = "", process: str = "karafka-0") -> None:
        self.now = 50.0 + at
        self.chronicle.event("web1", Event(process, step, detail))

    def end(self, outcome: Outcome = Outcome.DONE, code: int = 0) -> Evidence:
        return self.chronicle.evidence(outcome, code)


@pytest.fixture
def time() -> Time:
    return Time()


def report(pid: int = 2, process: str = "karafka-0", **more: object) -> ProcessReport:
    return ProcessReport(process, State.RUNNING, pid, release="B", **more)  # type: ignore[arg-type]


def test_a_warm_handover_is_told_by_the_agents_own_timings(time: Time) -> None:
    # Given a slot that was handed over, of which the operator heard a little late
    time.chronicle.expect("web1", [ProcessReport("karafka-0", State.RUNNING, 1, release="A")])
    for at, step in ((1.02, "spawned"), (1.5, "standby"), (1.6, "handing over"), (1.63, "ready")):
        time.says(at, step)
    time.chronicle.finished("web1", 1, [report(timings={"standby": 0.4, "drain": 0.03, "takeover": 0.02})])
    # Then its phases end when it was ready, and took what the agent measured
    (slot,) = time.end().slots
    assert (slot.warm, slot.ok, slot.batch, slot.old_pid, slot.new_pid, slot.release) == (True, True, 1, 1, 2, "B")
    assert [phase.kind for phase in slot.phases] == [PhaseKind.PREPARING, PhaseKind.DRAINING, PhaseKind.TAKING_OVER]
    assert [phase.seconds for phase in slot.phases] == [0.4, 0.03, 0.02]
    assert [phase.start for phase in slot.phases] == pytest.approx([1.18, 1.58, 1.61])


def test_what_the_settings_have_no_slot_for_is_told_by_itself(time: Time) -> None:
    # Given a rollout of two slots that stops a third one first, and a fourth that it did not come to
    own = [ProcessReport(f"karafka-{index}", State.RUNNING, 1 + index, release="A") for index in range(2)]
    more = [ProcessReport(f"karafka-{index}", State.RUNNING, 9, release="0") for index in (2, 3)]
    time.chronicle.expect("web1", own)
    time.chronicle.expect("web1", more, superfluous=True)
    for at, step in ((1.0, "asked to stop"), (2.0, "stopped")):
        time.says(at, step, process="karafka-2")
    gone = ProcessReport("karafka-2", State.STOPPED, message="ended after 1.0 s")
    time.chronicle.finished("web1", 0, [gone])
    time.chronicle.finished("web1", 1, [report(), report(3, "karafka-1")])
    # Then all slots of the rollout are done, and the stopped one is told beside them
    evidence = time.end()
    assert (evidence.summary()["slots"], evidence.summary()["slots_done"], evidence.release) == (2, 2, "B")
    assert ("slots", "2 of 2, 1 stopped that the settings do not have") in totals(evidence)
    rows = grids(evidence)[0][1]
    assert rows[2] == ("web1 karafka-2", "-", "stop", "-", "1.00 s", "-", "9", "ok")
    assert rows[3][-1] == "not attempted"


def test_a_process_that_had_to_be_killed_is_told_so(time: Time) -> None:
    # Given a slot whose old process did not drain, and one that did
    for at, step in ((1.0, "spawned"), (1.5, "standby"), (31.5, "killed"), (31.6, "handing over"), (32.0, "ready")):
        time.says(at, step)
        if step != "killed":
            time.says(at, step, process="karafka-1")
    timings = {"standby": 0.5, "drain": 30.0, "takeover": 0.1}
    time.chronicle.finished("web1", 1, [report(timings=timings), report(3, "karafka-1", timings=timings)])
    # Then the first one alone was killed, in words and in numbers
    evidence = time.end()
    assert [slot.killed for slot in evidence.slots] == [True, False]
    assert evidence.summary()["killed"] == 1
    assert ("slots", "2 of 2, 2 warm, 1 killed") in totals(evidence)
    assert [row[2] for row in grids(evidence)[0][1]] == ["warm, KILLED", "warm"]


def test_a_stop_and_a_start_are_two_phases(time: Time) -> None:
    # Given a slot that was stopped and started
    for at, step in ((1.0, "asked to stop"), (2.0, "stopped"), (2.1, "spawned"), (3.0, "ready")):
        time.says(at, step)
    time.chronicle.finished("web1", 1, [report()])
    # Then there is the one and the other, by when the operator heard of it
    (slot,) = time.end().slots
    assert not slot.warm
    assert [(phase.kind, phase.start, phase.seconds) for phase in slot.phases] == [
        (PhaseKind.STOPPING, 1.0, 1.0),
        (PhaseKind.STARTING, pytest.approx(2.1), pytest.approx(0.9)),
    ]


def test_a_replacement_that_fails_leaves_what_it_tried_and_the_old_process(time: Time) -> None:
    # Given a replacement that never got warm
    time.chronicle.expect("web1", [ProcessReport("karafka-0", State.RUNNING, 1, release="A")])
    time.says(1.0, "spawned", "process 2, to replace process 1")
    time.says(1.4, "failed", "it exited with 1 after 0.4 s")
    broken = ProcessReport("karafka-0", State.RUNNING, 1, ok=False, release="A", message="process 1 goes on")
    time.chronicle.finished("web1", 1, [broken])
    # Then the slot says so
    (slot,) = time.end(Outcome.FAILED, 1).slots
    assert (slot.ok, slot.warm, slot.old_pid, slot.new_pid, slot.release) == (False, False, 1, None, "A")
    assert slot.phases == (Phase(PhaseKind.PREPARING, 1.0, pytest.approx(0.4)),)


def test_a_step_that_never_ended_lasts_until_it_was_given_up(time: Time) -> None:
    # Given an agent that was not heard of again
    time.says(1.0, "asked to stop")
    time.now = 60.0
    time.chronicle.finished("web1", 1, [report(ok=False)])
    # Then its phase lasts until then
    assert time.end().slots[0].phases == (Phase(PhaseKind.STOPPING, 1.0, 9.0),)


def test_slots_whose_turn_never_came_are_told_as_such(time: Time) -> None:
    # Given three slots, the first of which failed
    time.chronicle.expect("web1", [ProcessReport(f"karafka-{index}", State.RUNNING, index + 1) for index in range(3)])
    time.chronicle.finished("web1", 1, [report(ok=False), report(2, "karafka-1", ok=False, message="not attempted: x")])
    # Then the others have no batch
    assert [slot.batch for slot in time.end(Outcome.FAILED, 1).slots] == [1, 0, 0]


def group(committed: int, end: int) -> Group:
    return Group("g", "classic", "Stable", progress=(Progress(Partition("t", 0), committed, end),))


def test_gates_looks_and_generations_become_groups_and_partitions(time: Time) -> None:
    # Given what gates saw of a group whose offset stood still for a second while it rebalanced
    time.chronicle.generations({"g": 7})
    for at, committed in ((0.0, 5), (1.0, 6), (2.0, 6), (3.0, 10)):
        time.now = 50.0 + at
        time.chronicle.look([group(committed, 10)])
    time.chronicle.generations({"g": 8})
    time.chronicle.plan_rebalance("g", "topics changed: +new; one planned rebalance at web1 karafka-0")
    reason = Reason(Cause.LAG, "g", "group g: 900 messages wait")
    time.chronicle.verdict("gate after batch 1", Judgement(Verdict.REFUSED, (reason,), (), 2.5))
    # When it ends, then all of it is told
    evidence = time.end(Outcome.REFUSED, 11)
    (told,) = evidence.groups
    assert (told.lag_before, told.lag_peak, told.lag_after) == (5, 5, 0)
    assert (told.rebalances, told.planned) == (1, 1)
    assert told.generations == (Generation(0.0, 7), Generation(3.0, 8))
    (partition,) = evidence.partitions
    assert partition.committed is not None
    assert (partition.committed.start, partition.committed.seconds) == (1.0, 1.0)
    (verdict,) = evidence.verdicts
    assert (verdict.verdict, verdict.at, verdict.reasons) == ("refused", 0.5, ("group g: 900 messages wait",))
    assert evidence.notes == ("topics changed: +new; one planned rebalance at web1 karafka-0",)
    assert (evidence.outcome, evidence.exit_code, evidence.looks_seconds) == (Outcome.REFUSED, 11, 1.0)


def test_consumers_records_of_two_hosts_meet_on_one_axis(time: Time) -> None:
    # Given a partition that went from one host to another; their boot clocks differ by days
    def answer(boot: float, first: float, last: float) -> dict[str, object]:
        spans = {"g": {"t": {"0": [[first, last, 60.0, [[first, 0.1, 0.1]]]]}}}
        record = {"version": 1, "pid": 9, "boot_id": "b", "groups": spans, "before": []}
        return {"boot_id": "b", "boot_seconds": boot, "wall_seconds": 0.0, "processes": {"karafka-0": record}}

    time.now = 60.0
    time.chronicle.progress("web1", answer(100_000.0, 99_900.0, 99_993.0))
    time.chronicle.progress("web2", answer(5.0, -1.5, 4.0))
    # When the evidence is put together
    (partition,) = time.end().partitions
    # Then the time between both is its stall, and the gap before the rollout is what was usual
    assert [(stall.start, stall.seconds) for stall in partition.stalls] == [
        (pytest.approx(3.0), pytest.approx(0.5)),
        (pytest.approx(3.5), pytest.approx(0.1)),
    ]
    assert partition.undisturbed_seconds == pytest.approx(0.1)
    assert partition.slot == "web2 karafka-0"
    assert len(partition.spans) == 2
