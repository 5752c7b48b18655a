"""A gate that waits says what for, every five seconds."""

from __future__ import annotations

from ops.core.verdict import Cause, Judgement, Reason, Verdict
from ops.fleet.waiting import Waiting


def judgement(*texts: str) -> Judgement:
    return Judgement(Verdict.WAITING, tuple(Reason(Cause.MISSING, "g", text) for text in texts))


def test_what_is_waited_for_is_said_every_five_seconds_and_no_more_often() -> None:
    # Given a gate that hears every second what is still not as it has to be
    now, said = 100.0, list[str]()
    waiting = Waiting("the gate after batch 1", said.append, lambda: now)
    for at in range(12):
        now = 100.0 + at
        waiting.hear(judgement(f"reason {at}", "b", "c", "d"))
    # Then that is said twice, with how long it has waited, two reasons and how many more there are
    assert said == [
        "the gate after batch 1 waits, for 5 s now: reason 5; b; and 2 more",
        "the gate after batch 1 waits, for 10 s now: reason 10; b; and 2 more",
    ]


def test_a_gate_that_has_nothing_to_wait_for_says_nothing_but_that_it_looks_on() -> None:
    # Given a judgement without reasons, and a batch that has to prove itself for longer
    now, said = 0.0, list[str]()
    waiting = Waiting("the gate after batch 1", said.append, lambda: now)
    now = 6.0
    waiting.hear(judgement())
    assert said == []
    waiting.settles(9.4)
    assert said == [
        "the gate after batch 1 waits, for 6 s now: all is well so far, looked at for 9 s more (rollout.settle_seconds)"
    ]


def test_what_may_pass_is_told_as_a_wait_and_not_as_a_failure() -> None:
    # Given a reason that is said otherwise while it may pass
    now, said = 0.0, list[str]()
    waiting = Waiting("the gate after batch 1", said.append, lambda: now)
    now = 5.0
    reason = Reason(Cause.WEDGED, "g", "web1 karafka-0 does not advance", pending="web1 karafka-0: no commit seen yet")
    waiting.hear(Judgement(Verdict.WAITING, (reason,)))
    assert said == ["the gate after batch 1 waits, for 5 s now: web1 karafka-0: no commit seen yet"]
