"""Releases that read other topics: all of theirs are owned after the rollout, none of the others; nothing is lost."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from ops.core.deadline import Deadline
from ops.core.gate import Gate, Terms
from ops.core.protocol import Verb
from ops.core.standing import Process
from ops.core.subscriptions import SubscriptionChange, subscription_changes
from ops.core.verdict import Judgement, Verdict
from ops.kafka.connection import Cluster
from ops.kafka.groups import observe
from ops.node.managers.pidfile import PidfileManager
from tests.labs.handover_lab import HandoverLab, MakeHandoverLab

RATE = 30
PATIENCE = 30.0


def processes(lab: HandoverLab) -> tuple[Process, ...]:
    """Return the processes as they are by their own word, in the order of the rollout."""
    reports = [(spec, PidfileManager().status(spec)) for spec in lab.specs]
    return tuple(Process.of("h1", report, spec.env["KARAFKA_INSTANCE_ID"], (lab.name,)) for spec, report in reports)


def passes(lab: HandoverLab, cluster: Cluster, terms: Terms) -> None:
    """Hold that the gate passes: members, owners, progress, and own assignments against the brokers'."""
    gate, seen = Gate(terms), list[Judgement]()

    def look() -> bool:
        groups = observe(cluster, [lab.name], terms.topics)
        seen.append(gate.see(groups, time.monotonic(), processes(lab)))
        return seen[-1].verdict is Verdict.PASSED

    assert Deadline(PATIENCE).poll(look, every=0.1), f"{seen[-1]}\n{lab.log(0)}\n{lab.log(1)}"


def roll(lab: HandoverLab, *topics: str, standby: str = "auto") -> SubscriptionChange:
    """Roll a release out that reads these topics, as the plan says: slot after slot, a gate after each."""
    lab.deploy(*topics)
    described = lab.answer(lab.agent(Verb.DESCRIBE, lab.specs[0]))[1].described
    assert described == {lab.name: [f"{lab.name}-{topic}" for topic in topics]}
    wanted = {lab.name: tuple(described[lab.name])}
    with Cluster(lab.brokers) as cluster:
        before = processes(lab)
        (change,) = subscription_changes(wanted, observe(cluster, [lab.name], wanted), before)
        for number, (spec, process) in enumerate(zip(lab.specs, before, strict=True), start=1):
            leaves = (lab.name,) if process.name in change.remove else ()
            report = lab.one(Verb.RESTART, replace(spec, standby=standby, fresh_member_of=leaves))
            assert report.ok, f"{report}\n{lab.log(number - 1)}"
            assert report.timings.keys() == (
                {"standby", "drain", "takeover"} if standby == "auto" else {"stop", "start"}
            )
            under_way = {lab.name: (*change.added, *change.removed)} if number < len(lab.specs) else {}
            passes(lab, cluster, Terms(before, wanted, changing=under_way))
        (group,) = observe(cluster, [lab.name], wanted)
    assert {one.topic for one in group.owners} == set(wanted[lab.name])
    return change


@pytest.mark.soak
def test_an_added_topic_is_owned_after_the_rollout_and_given_up_by_the_rollback(lab_of: MakeHandoverLab) -> None:
    # Given two processes at work on one topic, and messages that wait on another
    lab = lab_of(processes=2, partitions=4)
    lab.settled_generation()
    lab.create_topic("more", 4)
    lab.traffic(RATE)
    lab.traffic(RATE, topic="more")

    # When a release that reads both is rolled out, then the last slot alone leaves the group, and all is owned
    change = roll(lab, "in", "more")
    assert (change.added, change.removed) == ((f"{lab.name}-more",), ())
    assert change.remove == ("h1 karafka-1",)
    # When it is rolled back, then each slot leaves the group, and nobody owns the other topic
    change = roll(lab, "in")
    assert (change.added, change.removed) == ((), (f"{lab.name}-more",))
    assert change.remove == ("h1 karafka-0", "h1 karafka-1")

    # Then nothing was lost of what is read, nothing was repeated, and no process or file is left over
    tally = lab.end_traffic()
    print(tally)
    assert tally.exact, tally
    lab.assert_nothing_left()


def test_a_removed_topic_is_owned_by_nobody_and_the_rollback_reads_on_where_it_ended(
    lab_of: MakeHandoverLab,
) -> None:
    # Given two processes at work on two topics
    lab = lab_of(processes=2, partitions=4, more=("more",))
    lab.settled_generation()
    lab.traffic(RATE)
    lab.traffic(RATE, topic="more")

    # When a release without one of them is rolled out, then each slot leaves the group, and nobody owns that topic
    change = roll(lab, "in")
    assert (change.added, change.removed) == ((), (f"{lab.name}-more",))
    assert change.remove == ("h1 karafka-0", "h1 karafka-1")
    # When it is rolled back, then the last slot alone leaves the group, and all is owned
    change = roll(lab, "in", "more")
    assert (change.added, change.removed) == ((f"{lab.name}-more",), ())
    assert change.remove == ("h1 karafka-1",)

    # Then what was sent to it meanwhile is read, too: of both topics nothing was lost or repeated
    for topic in ("in", "more"):
        tally = lab.end_traffic(topic)
        print(topic, tally)
        assert tally.exact, tally
    lab.assert_nothing_left()


@pytest.mark.soak
def test_topics_change_by_stop_and_start_too(lab_of: MakeHandoverLab) -> None:
    # Given two processes at work on two topics
    lab = lab_of(processes=2, partitions=4, more=("old",))
    lab.create_topic("new", 4)
    lab.settled_generation()
    lab.traffic(RATE)
    lab.traffic(RATE, topic="new")

    # When a release that reads another one instead is rolled out without standby
    change = roll(lab, "in", "new", standby="off")

    # Then each slot has left the group, and of what is read nothing was lost or repeated
    assert (change.added, change.removed) == ((f"{lab.name}-new",), (f"{lab.name}-old",))
    assert change.remove == ("h1 karafka-0", "h1 karafka-1")
    for topic in ("in", "new"):
        tally = lab.end_traffic(topic)
        print(topic, tally)
        assert tally.exact, tally
    lab.assert_nothing_left()
