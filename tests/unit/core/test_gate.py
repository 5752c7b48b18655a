"""The gate's judgement on groups made up for it: each reason alone, and what does not stop a rollout."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import pytest

from ops.core.cluster import CLASSIC, STABLE, Group, Member, Partition, Progress
from ops.core.errors import ExitCode, GateRefusedError
from ops.core.gate import Gate, Terms, generations
from ops.core.preflight import preflight
from ops.core.standing import Process, Standing
from ops.core.states import State
from ops.core.verdict import Cause, Judgement, Verdict

TOPIC = "orders"
Offsets = tuple[Optional[int], Optional[int]]


def member(instance: str | None, *numbers: int, topics: tuple[str, ...] = (TOPIC,), id: str = "") -> Member:
    name = id or f"member-of-{instance}"
    return Member(name, instance, "client", "10.0.0.1", topics, tuple(Partition(topics[0], n) for n in numbers))


def group(*members: Member, offsets: dict[int, Offsets] | None = None, state: str = STABLE) -> Group:
    given = {0: (5, 5), 1: (7, 7)} if offsets is None else offsets
    progress = tuple(Progress(Partition(TOPIC, n), at, end, begin=0) for n, (at, end) in sorted(given.items()))
    return Group("g", CLASSIC, state, "range", None, members, progress)


def process(name: str, instance: str | None, *, state: State = State.RUNNING, foreign: bool = False) -> Process:
    return Process(name, instance, ("g",), state, foreign)


TWO = Terms((process("h1 karafka-0", "a"), process("h2 karafka-0", "b")))
GOOD = group(member("a", 0), member("b", 1))


def last(terms: Terms, *looks: Group) -> Judgement:
    """Look at the groups, a second between; give the last judgement."""
    gate = Gate(terms)
    return [gate.see([look], float(at)) for at, look in enumerate(looks)][-1]


def test_a_group_that_works_passes_with_the_second_look() -> None:
    # Given a stable group with all members, all partitions owned and nothing waiting
    # Then it passes, though not at first sight: an idle look proves nothing
    assert last(TWO, GOOD).verdict is Verdict.WAITING
    assert last(TWO, GOOD, GOOD).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    ("seen", "causes", "said"),
    [
        (replace(GOOD, state="PreparingRebalance"), {Cause.REBALANCING}, "PreparingRebalance"),
        (Group("g", "", "Dead"), {Cause.NO_MEMBERS, Cause.MISSING}, "Dead"),
        (group(member("a", 0, 1)), {Cause.MISSING}, "h2 karafka-0 is not a member"),
        (group(member("a", 0), member("b")), {Cause.UNOWNED}, "nobody owns orders-1"),
        (group(member("a", 0), member("b", 1), member(None)), {Cause.STRANGER}, "no process of this application"),
        (group(member("a", 0), member("a", id="x"), member("b", 1)), {Cause.DUPLICATE, Cause.STRANGER}, "2 members"),
        (group(member("a", 0), member("b", 1), offsets={0: (5, 5), 1: (7, None)}), {Cause.NO_LEADER}, "orders-1"),
        (group(member("a", 0), member("b", 1), offsets={0: (5, 5), 1: (None, 7)}), {Cause.UNCOMMITTED}, "orders-1"),
    ],
)
def test_whatever_is_wrong_with_the_group_is_said(seen: Group, causes: set[Cause], said: str) -> None:
    # Given a group with one thing wrong
    # Then the gate waits for it to pass, and says what it is
    found = last(TWO, seen, seen)
    assert found.verdict is Verdict.WAITING
    assert found.causes == causes
    assert any(said in reason.text for reason in found.reasons)


def test_a_frozen_process_that_has_lost_its_place_is_called_so() -> None:
    # Given a process that a signal froze, which the brokers have given up
    terms = Terms((TWO.processes[0], replace(TWO.processes[1], frozen=True)))
    alone = group(member("a", 0, 1))
    # Then the gate does not wait without saying why
    assert "h2 karafka-0 is not a member, it is frozen by a signal" in last(terms, alone, alone).reasons[0].text


def test_a_partition_where_messages_wait_has_to_advance_and_an_idle_one_need_not() -> None:
    # Given an idle partition beside one where messages wait
    waiting = group(member("a", 0), member("b", 1), offsets={0: (5, 5), 1: (7, 9)})
    # When more come and nothing is committed
    more = group(member("a", 0), member("b", 1), offsets={0: (5, 5), 1: (7, 30)})
    found = last(TWO, waiting, more)
    # Then the one is named, the other is not
    assert found.causes == {Cause.WEDGED}
    assert found.reasons[0].partitions == (Partition(TOPIC, 1),)
    # And any commit in between lets it pass
    ahead = group(member("a", 0), member("b", 1), offsets={0: (5, 5), 1: (8, 30)})
    assert last(TWO, waiting, more, ahead).verdict is Verdict.PASSED
    # And one that was idle at first and stands still later does not pass
    assert last(TWO, GOOD, more).causes == {Cause.WEDGED}


def test_lag_has_to_be_back_to_what_it_was_or_within_its_limit() -> None:
    # Given ten messages of lag before, and a hundred now, slowly worked off
    before = group(member("a", 0), member("b", 1), offsets={0: (5, 5), 1: (0, 10)})
    looks = [group(member("a", 0), member("b", 1), offsets={0: (5, 5), 1: (at, 110)}) for at in (10, 20)]
    # Then that is too much, unless so much is allowed
    found = last(replace(TWO, before=(before,)), *looks)
    assert found.causes == {Cause.LAG}
    assert "lag 90, at most 10 may be (10 waited before, 0 come in a second)" in found.reasons[0].text
    assert last(replace(TWO, before=(before,), max_lag=90), *looks).verdict is Verdict.PASSED
    found = last(replace(TWO, max_lag=89), *looks)
    assert found.causes == {Cause.LAG}
    assert "at most 89 may be (rollout.max_lag)" in found.reasons[0].text
    # And it passes when no more wait than before
    back = group(member("a", 0), member("b", 1), offsets={0: (5, 5), 1: (100, 110)})
    assert last(replace(TWO, before=(before,)), *looks, back).verdict is Verdict.PASSED
    # And under traffic as many as come in a second are under way at any time
    flow = [group(member("a", 0), member("b", 1), offsets={0: (5, 5), 1: (n * 50, n * 50 + 40)}) for n in (1, 2)]
    assert last(replace(TWO, before=(before,)), *flow).verdict is Verdict.PASSED


def test_lag_that_nobody_knew_before_is_no_limit() -> None:
    # Given a group that had never committed
    before = group(offsets={0: (None, 3), 1: (None, 4)}, state="Empty")
    looks = [group(member("a", 0), member("b", 1), offsets={0: (at, 3), 1: (at, 4)}) for at in (1, 2)]
    # Then it is enough that it works
    assert last(replace(TWO, before=(before,)), *looks).verdict is Verdict.PASSED


def test_a_process_that_is_down_stops_the_rollout_at_once() -> None:
    # Given a group that looks well while a process crashes again and again
    terms = Terms((process("h1 karafka-0", "a"), process("h2 karafka-0", "b", state=State.CRASH_LOOPING)))
    found = last(terms, GOOD)
    # Then nothing is waited for
    assert (found.verdict, found.causes) == (Verdict.REFUSED, {Cause.DOWN})
    assert "h2 karafka-0 is crash-looping" in found.reasons[0].text
    with pytest.raises(GateRefusedError, match="crash-looping") as error:
        found.require("the gate after batch 1")
    assert error.value.exit_code is ExitCode.GATE_REFUSED


def test_what_waiting_would_have_healed_is_not_said_beside_a_dead_process() -> None:
    # Given a process that died, whose partition waits, while the other one has had no time to commit anything
    terms = Terms((process("h1 karafka-0", "a"), process("h2 karafka-0", "b", state=State.DEAD)))
    waiting = group(member("a", 0, 1), offsets={0: (5, 9), 1: (7, 30)})
    # Then the gate names the death alone
    assert [one.text for one in last(terms, waiting, waiting).reasons] == ["h2 karafka-0 is dead"]
    # And what no wait heals is said beside it
    stranger = group(member("a", 0), member(None, 1), offsets={0: (5, 9), 1: (7, 30)})
    assert last(terms, stranger, stranger).causes == {Cause.DOWN, Cause.STRANGER}
    # And where the death was accepted beforehand, all of it
    found = last(replace(terms, accepted=(Cause.DOWN,)), waiting, waiting)
    assert found.causes == {Cause.MISSING, Cause.WEDGED}


def test_a_member_that_is_a_new_one_at_each_look_does_not_pass() -> None:
    # Given an instance id whose member changes all the time
    looks = [group(member("a", 0, id=f"join-{number}"), member("b", 1)) for number in range(3)]
    # Then it crashes, or two fight for it
    assert last(TWO, *looks[:2]).verdict is Verdict.PASSED
    found = last(TWO, *looks)
    assert found.causes == {Cause.DUPLICATE}
    assert "joined 3 times" in found.reasons[0].text


def test_topics_of_the_routes_must_be_there_and_owned() -> None:
    # Given routes with a topic that nobody subscribes to, and one that does not exist
    terms = replace(TWO, topics={"g": (TOPIC, "bills")})
    # Then it is missing on the cluster
    assert last(terms, GOOD, GOOD).causes == {Cause.NO_TOPIC}
    # And once it is there, without owner
    there = replace(GOOD, progress=(*GOOD.progress, Progress(Partition("bills", 0), None, 0, 0)))
    found = last(terms, there, there)
    assert found.causes == {Cause.UNOWNED}
    assert found.reasons[0].partitions == (Partition("bills", 0),)


def test_members_of_another_app_in_the_same_group_do_not_matter() -> None:
    # Given a group with another app's member, whose own topic stands still
    other = member("billing.h1.karafka.0", 0, topics=("bills",))
    shared = group(member("a", 0), member("b", 1), other)
    shared = replace(shared, progress=(*shared.progress, Progress(Partition("bills", 0), 0, 99)))
    # Then ours passes
    assert last(TWO, shared, shared).verdict is Verdict.PASSED


def test_foreign_commands_are_counted_and_may_leave_quiet_partitions_uncommitted() -> None:
    # Given two foreign commands without instance ids, which read from the end and have committed nothing
    terms = Terms(tuple(process(f"h{n} karafka-0", None, foreign=True) for n in (1, 2)))
    quiet = group(member(None, 0, id="x"), member(None, 1, id="y"), offsets={0: (None, 5), 1: (None, 7)})
    # Then that is as before, and passes; without a before nobody knows
    assert last(replace(terms, before=(quiet,)), quiet, quiet).verdict is Verdict.PASSED
    assert last(terms, quiet, quiet).causes == {Cause.UNCOMMITTED}
    # And one too few is missing, one too many a stranger
    one = group(member(None, 0, 1, id="x"))
    assert last(terms, one, one).causes == {Cause.MISSING}
    three = group(member(None, 0, id="x"), member(None, 1, id="y"), member(None, id="z"))
    assert last(terms, three, three).causes == {Cause.STRANGER}


def standing(instance: str, *numbers: int, generation: int = 4, id: str = "") -> Standing:
    return Standing(
        id or f"member-of-{instance}", instance, generation, True, tuple(Partition(TOPIC, n) for n in numbers)
    )


def test_a_processs_own_word_is_compared_with_the_brokers() -> None:
    # Given records that agree
    good = [
        replace(process("h1 karafka-0", "a"), standings={"g": standing("a", 0)}),
        replace(process("h2 karafka-0", "b"), standings={"g": standing("b", 1)}),
    ]
    terms = replace(TWO, processes=tuple(good))
    assert generations(good) == {"g": 4}
    assert last(terms, GOOD, GOOD).verdict is Verdict.PASSED
    # When one differs, then it is said in what
    for other, cause in (
        (standing("b"), Cause.ASSIGNMENT),
        (standing("b", 1, generation=3), Cause.GENERATION),
        (standing("b", 1, generation=5), Cause.GENERATION),
        (standing("b", 1, id="another"), Cause.DUPLICATE),
    ):
        now = [good[0], replace(good[1], standings={"g": other})]
        gate = Gate(terms)
        gate.see([GOOD], 0.0, now)
        assert gate.see([GOOD], 1.0, now).causes == {cause}
        # And newer records are taken into account
        assert gate.see([GOOD], 2.0, good).verdict is Verdict.PASSED


def test_a_generation_that_has_grown_is_as_good_as_long_as_all_are_in_the_newest() -> None:
    # Given a group whose members were in generation 4, and 6 after one of them was frozen for a while and came back
    before = [
        replace(process("h1 karafka-0", "a"), standings={"g": standing("a", 0)}),
        replace(process("h2 karafka-0", "b"), standings={"g": standing("b", 1)}),
    ]
    gate = Gate(replace(TWO, processes=tuple(before)))
    one, other = (
        replace(each, standings={"g": replace(each.standings["g"], generation=6)}) for each in before
    )  # fmt: skip
    # Then the gate waits for the one that has not told of it, and passes with both
    gate.see([GOOD], 0.0, before)
    (reason,) = gate.see([GOOD], 1.0, [one, before[1]]).reasons
    assert str(reason) == "group g: h2 karafka-0 is in generation 4, the newest is 6"
    assert gate.see([GOOD], 2.0, [one, other]).verdict is Verdict.PASSED
    # And a process that is on its way into the group does not count
    outside = replace(other, standings={"g": replace(other.standings["g"], generation=9, joined=False)})
    assert generations([one, outside]) == {"g": 6}


def test_the_place_of_a_process_that_does_not_run_is_nobody_elses_and_stands_still() -> None:
    # Given a dead process whose place the brokers still keep, with messages waiting in its partition
    alone = Terms((TWO.processes[0],), absent=("b",))
    looks = [group(member("a", 0), member("b", 1), offsets={0: (5, 5), 1: (7, 9 + more)}) for more in (0, 1)]
    # Then neither preflight nor gate takes it for a stranger, nor waits for what nobody works on
    assert preflight(alone, looks[:1]).verdict is Verdict.PASSED
    assert last(alone, *looks).verdict is Verdict.PASSED
    # And once it is there again its partition has to advance as any other
    assert last(replace(TWO, absent=("b",)), *looks).causes == {Cause.WEDGED}
    # And whoever else is there is a stranger
    assert preflight(Terms((TWO.processes[0],), absent=("c",)), looks[:1]).causes == {Cause.STRANGER}


def test_the_preflight_refuses_what_no_restart_would_heal_and_lets_a_dead_process_be_healed() -> None:
    # Given a group that lacks a member, and one without any
    assert preflight(TWO, [group(member("a", 0, 1))]).verdict is Verdict.PASSED
    assert preflight(TWO, [Group("g", CLASSIC, "Empty")]).verdict is Verdict.PASSED
    # Then both may be restarted; a rebalancing one and one with free partitions may not
    assert preflight(TWO, [replace(GOOD, state="CompletingRebalance")]).causes == {Cause.REBALANCING}
    assert preflight(TWO, [group(member("a", 0), member("b"))]).causes == {Cause.UNOWNED}
    # And no session may end while a static process restarts
    short = replace(TWO.processes[0], session_timeout_seconds=10, pause_seconds=12)
    found = preflight(Terms((short, TWO.processes[1])), [GOOD])
    assert found.causes == {Cause.SESSION}
    assert "10 s" in found.reasons[0].text
    # And a dynamic one has no place to lose
    dynamic = replace(short, instance_id=None)
    assert preflight(Terms((dynamic, TWO.processes[1])), [group(member(None, 0), member("b", 1))]).reasons == ()
    # And force puts it on record
    forced = preflight(Terms((short, TWO.processes[1]), accepted=(Cause.SESSION,)), [GOOD])
    assert (forced.verdict, [one.cause for one in forced.overruled]) == (Verdict.PASSED, [Cause.SESSION])


def test_topics_that_are_changing_need_no_owner_and_no_progress_yet() -> None:
    # Given a group in the middle of a rollout: nobody owns the topic that is added, and messages wait in it
    added = Partition("refunds", 0)
    waiting = (Progress(added, 2, 9, begin=0), *GOOD.progress)
    seen = replace(GOOD, progress=waiting)
    standing = Standing("member-of-a", "a", 8, True, (Partition(TOPIC, 0),))
    told = (replace(TWO.processes[0], standings={"g": standing}), TWO.processes[1])
    terms = replace(TWO, processes=told, topics={"g": (TOPIC, "refunds")}, max_lag=3)

    # Then it is refused as a group at rest would be, and passes as one whose topic is changing
    assert last(terms, seen, seen).causes == {Cause.UNOWNED, Cause.LAG}
    assert last(replace(terms, changing={"g": ("refunds",)}), seen, seen).verdict is Verdict.PASSED

    # And what is owned of it need not come forward, while the other topics still have to
    mine = replace(GOOD.members[0], topics=(TOPIC, "refunds"), partitions=(Partition(TOPIC, 0), added))
    told = (replace(told[0], standings={"g": replace(standing, partitions=mine.partitions)}), told[1])
    owned = replace(seen, members=(mine, GOOD.members[1]))
    under_way = replace(terms, processes=told, changing={"g": ("refunds",)})
    assert last(replace(under_way, changing={}), owned, owned).causes >= {Cause.WEDGED}
    assert last(under_way, owned, owned).verdict is Verdict.PASSED
    stuck = replace(owned, progress=(waiting[0], Progress(Partition(TOPIC, 0), 5, 6), GOOD.progress[1]))
    assert last(under_way, stuck, stuck).causes == {Cause.WEDGED}


def test_what_a_broken_off_change_of_topics_left_is_fit_for_its_rollout() -> None:
    # Given members that subscribe to a topic which nobody owns
    free = replace(GOOD, progress=(Progress(Partition("refunds", 0), 2, 9), *GOOD.progress))
    both = tuple(replace(one, topics=(TOPIC, "refunds")) for one in GOOD.members)
    seen = replace(free, members=both)
    # Then the preflight refuses a rollout that leaves it so, not the one that mends it
    assert preflight(TWO, [seen]).causes == {Cause.UNOWNED}
    assert preflight(replace(TWO, changing={"g": ("refunds",)}), [seen]).verdict is Verdict.PASSED


def test_members_that_may_be_on_hosts_that_do_not_answer_are_no_strangers() -> None:
    # Given two foreign commands, one of which is on a host that does not answer, and a member each
    seen = Terms((process("h1 karafka-0", None, foreign=True),), unseen=1)
    two = group(member(None, 0, id="x"), member(None, 1, id="y"))
    # Then neither preflight nor gate calls one of them a stranger
    assert preflight(seen, [two]).verdict is Verdict.PASSED
    assert last(replace(seen, before=(two,)), two, two).verdict is Verdict.PASSED
    assert preflight(seen, [group(member(None, 0, id="x"), member("own", 1))]).verdict is Verdict.PASSED
    # And one more than may be there is
    three = group(member(None, 0, id="x"), member(None, 1, id="y"), member(None, id="z"))
    assert preflight(seen, [three]).causes == {Cause.STRANGER}


def test_a_topic_that_nobody_makes_ends_the_wait_soon_with_what_makes_it() -> None:
    # Given members of a topic that is not on the cluster
    terms, seen = replace(TWO, topics={"g": (TOPIC, "refunds")}), GOOD
    # When it stays away for some seconds, which brokers that make topics by themselves do not take
    gate = Gate(terms)
    assert gate.see([seen], 0.0).verdict is Verdict.WAITING
    assert gate.see([seen], 4.0).verdict is Verdict.WAITING
    # Then the gate refuses for good, and names the command
    found = gate.see([seen], 5.0)
    assert (found.verdict, found.final, found.causes) == (Verdict.REFUSED, True, {Cause.NO_TOPIC})
    assert "topic refunds is not on the cluster" in str(found.reasons[0])
    assert "inv topics.apply" in str(found.reasons[0])
    # And one that comes in time is forgotten; one that was accepted stops nothing
    gate = Gate(terms)
    gate.see([seen], 0.0)
    there = replace(seen, progress=(*seen.progress, Progress(Partition("refunds", 0), 0, 0)))
    assert Cause.NO_TOPIC not in gate.see([there], 4.0).causes
    assert gate.see([seen], 6.0).verdict is Verdict.WAITING
    gate = Gate(replace(terms, accepted=(Cause.NO_TOPIC,)))
    assert [gate.see([seen], at).verdict for at in (0.0, 6.0)] == [Verdict.WAITING, Verdict.PASSED]


def test_a_wait_for_a_commit_names_the_slot_and_is_told_as_a_wait() -> None:
    # Given two members where messages wait, one of which is a process that is known, and the next commit is not there
    offsets: dict[int, Offsets] = {0: (5, 8), 1: (None, 9)}
    found = last(TWO, *[group(member("a", 0), member("b", 1), offsets=offsets)] * 2)
    said = {one.cause: one for one in found.reasons}
    # Then both are called what status calls them, and while the gate waits nothing is called a failure
    assert found.verdict is Verdict.WAITING
    wedged, uncommitted = said[Cause.WEDGED], said[Cause.UNCOMMITTED]
    assert wedged.pending == "group g: h1 karafka-0: no commit seen yet in orders-0, where 3 messages wait"
    assert uncommitted.pending == "group g: h2 karafka-0: no commit seen yet in orders-1, which holds messages"
    # And where it stays so, it is said as what it is
    assert str(wedged) == "group g: h1 karafka-0 does not advance in orders-0, where 3 messages wait"
