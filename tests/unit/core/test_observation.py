"""Processes, members and lag in one row, and each kind of zombie."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

from ops.core.advance import STALLED_SECONDS
from ops.core.cluster import CLASSIC, Group, Member, Partition, Progress
from ops.core.errors import ExitCode
from ops.core.observation import observe
from ops.core.protocol import ProcessReport
from ops.core.sight import HostReport, Zombie
from ops.core.states import State


def record(instance: str, *numbers: int, stalled: float = 0.1, member: str = "") -> dict[str, Any]:
    facts = {
        "member_id": member or f"member-of-{instance}",
        "instance_id": instance,
        "generation": 3,
        "joined": True,
        "assignment": {"orders": list(numbers)},
        "last_progress_seconds_ago": stalled,
    }
    return {"state": "running", "groups": {"g": facts}}


def host(name: str, *numbers: int, state: State = State.RUNNING, **consumer: Any) -> HostReport:
    instance = f"app.{name}.karafka.0"
    alive = state is State.RUNNING
    report = ProcessReport(
        "karafka-0", state, 100 if alive else None, release="20" if alive else "",
        consumer=record(instance, *numbers, **consumer) if alive else None,
    )  # fmt: skip
    return HostReport(name, (report,), {"karafka-0": instance}, {"karafka-0": ("g",)}, current_release="20")


Offsets = dict[int, tuple[Optional[int], int]]


def group(*members: tuple[str | None, tuple[int, ...]], offsets: Offsets | None = None) -> Group:
    given = offsets or {0: (5, 8), 1: (7, 7)}
    joined = []
    for name, own in members:
        partitions = tuple(Partition("orders", n) for n in own)
        joined.append(Member(f"member-of-{name}", name, "client-x", "10.0.0.9", ("orders",), partitions))
    progress = tuple(Progress(Partition("orders", n), at, end) for n, (at, end) in given.items())
    return Group("g", CLASSIC, "Stable", members=tuple(joined), progress=progress)


BOTH = group(("app.h1.karafka.0", (0,)), ("app.h2.karafka.0", (1,)))


def test_process_member_partitions_and_lag_stand_in_one_row() -> None:
    # Given two hosts with a process each, and their group
    seen = observe([host("h1", 0), host("h2", 1)], [BOTH])
    # Then each row has all of its own
    first, second = seen.rows
    assert (first.host, first.report.name, first.instance_id) == ("h1", "karafka-0", "app.h1.karafka.0")
    assert first.places[0].member_id == "member-of-app.h1.karafka.0"
    assert (first.places[0].generation, first.places[0].state) == (3, "Stable")
    assert [(row.partitions, row.lag) for row in (first, second)] == [(1, 3), (1, 0)]
    # And nothing is remarkable
    assert (seen.remarks, seen.exit_code) == ((), ExitCode.DONE)


def test_unknown_lag_is_not_zero() -> None:
    # Given a partition that nobody has committed in, and a cluster that did not answer
    seen = observe([host("h1", 0)], [group(("app.h1.karafka.0", (0,)), offsets={0: (None, 4)})])
    # Then lag is unknown in both
    assert seen.rows[0].lag is None
    assert observe([host("h1", 0)], []).rows[0].lag is None


def test_while_a_group_divides_its_partitions_nobody_knows_what_waits_for_whom() -> None:
    # Given a group in the middle of a rebalance, whose members own nothing yet
    dividing = replace(group(("app.h1.karafka.0", ())), state="PreparingRebalance")
    row = observe([host("h1", 0)], [dividing]).rows[0]
    # Then neither partitions nor lag are called none
    assert (row.partitions, row.lag) == (None, None)
    assert row.as_json()["places"][0]["partitions"] is None
    # And in a stable group, one that owns nothing has nothing to do
    row = observe([host("h1")], [replace(dividing, state="Stable")]).rows[0]
    assert (row.partitions, row.lag) == (0, 0)


def test_a_frozen_process_is_blamed_once() -> None:
    # Given a process that a signal froze, whose messages wait as they did a while ago
    one = host("h1", 0)
    frozen = replace(one, reports=(replace(one.reports[0], frozen=True, consumer=None),))
    # Then that is said, and not what comes of it
    found = observe([frozen, host("h2", 1)], [BOTH], earlier=[BOTH])
    assert [one.text for one in found.remarks] == ["h1 karafka-0: makes no progress while it is frozen"]
    # And one that is not frozen is told by what it does not commit
    silent = replace(one, reports=(replace(one.reports[0], consumer=None),))
    found = observe([silent, host("h2", 1)], [BOTH], earlier=[BOTH])
    assert ["nothing is committed" in one.text for one in found.remarks] == [True]


def test_a_member_that_no_process_explains_is_a_zombie() -> None:
    # Given an unmanaged consumer of our topic, one of a process that has ended, and another app's
    other = Member("o", "billing.h1.karafka.0", "c", "h", ("bills",), ())
    seen = group(("app.h1.karafka.0", (0,)), ("app.h2.karafka.0", ()), (None, (1,)))
    found = observe(
        [host("h1", 0), host("h2", state=State.DEAD)], [replace(seen, members=(*seen.members, other))]
    )  # fmt: skip
    # Then the first two are named, the last is not ours to judge
    assert [one.zombie for one in found.remarks] == [Zombie.UNEXPLAINED] * 2
    assert "client-x at 10.0.0.9" in found.remarks[0].text
    assert "still there, h2 karafka-0 is dead" in found.remarks[1].text
    assert found.exit_code is ExitCode.FAILED


def test_a_crash_looping_process_may_live_and_its_member_is_its_own() -> None:
    # Given a process that is started again and again, and is in its group just now
    seen = observe([host("h1", 0), host("h2", state=State.CRASH_LOOPING)], [BOTH])
    # Then its member is no zombie
    assert seen.remarks == ()


def test_the_place_that_a_stopped_static_member_keeps_for_a_while_is_no_zombie() -> None:
    # Given a process that was stopped, whose session has not ended
    seen = observe([host("h1", 0), host("h2", state=State.STOPPED)], [BOTH])
    # Then it is not called so, and what waits there is counted
    assert (seen.remarks, [row.partitions for row in seen.rows]) == ((), [1, 1])


def test_the_members_of_a_host_that_did_not_answer_are_explained() -> None:
    # Given a host that did not answer, and slots that were not asked about
    silent = replace(host("h2"), reports=(), reachable=False)
    # Then nobody calls its member a zombie
    assert observe([host("h1", 0), silent], [BOTH]).remarks == ()


def test_a_process_of_an_old_release_is_a_zombie() -> None:
    # Given a process that outlived a deploy
    seen = observe([host("h1", 0), replace(host("h2", 1), current_release="21")], [BOTH])
    # Then its row says so
    assert [row.zombies for row in seen.rows] == [(), (Zombie.OLD_RELEASE,)]
    assert "runs release 20, current is 21" in seen.remarks[0].text


def test_a_process_that_runs_and_is_not_in_its_group_is_a_zombie() -> None:
    # Given a pid that is alive, and a group without it
    seen = observe([host("h1", 0), host("h2", 1)], [group(("app.h1.karafka.0", (0, 1)))])
    # Then that is said
    assert seen.rows[1].zombies == (Zombie.NOT_IN_GROUP,)
    assert seen.rows[1].lag is None
    # And of one that is stopped it is not
    stopped = observe([host("h1", 0), host("h2", state=State.STOPPED)], [group(("app.h1.karafka.0", (0, 1)))])
    assert stopped.remarks == ()


def test_a_member_without_progress_is_a_zombie_by_its_record_or_by_two_looks() -> None:
    # Given a poll loop that stands still
    hosts = [host("h1", 0, stalled=STALLED_SECONDS), host("h2", 1)]
    assert observe(hosts, [BOTH]).rows[0].zombies == (Zombie.NO_PROGRESS,)
    # And given messages that wait while nothing is committed between two looks
    hosts = [host("h1", 0), host("h2", 1)]
    members = (("app.h1.karafka.0", (0,)), ("app.h2.karafka.0", (1,)))
    later = group(*members, offsets={0: (5, 90), 1: (50, 90)})
    seen = observe(hosts, [later], earlier=[BOTH])
    # Then the one that stands still is named, the one that works is not
    assert [row.zombies for row in seen.rows] == [(Zombie.NO_PROGRESS,), ()]
    assert "messages wait in orders-0" in seen.remarks[0].text


def test_two_processes_that_take_themselves_for_one_member_are_told() -> None:
    # Given a process whose instance id somebody else has joined under
    fenced = host("h1", 0, member="the-former-one")
    seen = observe([fenced, host("h2", 1)], [BOTH])
    # Then it is named, with the member that it says it is
    assert "is not h1 karafka-0, which says it is the member the-former-one" in seen.remarks[0].text


def test_a_record_of_another_release_is_read_as_far_as_it_goes() -> None:
    # Given records that are not as ours are
    for odd in ({"groups": []}, {"groups": {"g": None}}, {"groups": {"g": {"member_id": 1}}}, {"state": "running"}):
        mine = host("h1", 0)
        odd_one = replace(mine, reports=(replace(mine.reports[0], consumer=odd),))
        # Then the row is there, by what the cluster says
        assert observe([odd_one, host("h2", 1)], [BOTH]).rows[0].partitions == 1


def test_a_topic_that_is_not_on_the_cluster_is_a_remark_and_no_lag_of_zero() -> None:
    # Given a stable group whose members own nothing, as the topic that they read is missing
    idle = replace(group(("app.h1.karafka.0", ()), ("app.h2.karafka.0", ())), progress=(), missing=("orders",))
    # When it is looked at
    seen = observe([host("h1"), host("h2")], [idle])
    # Then the lag is unknown in every row, and the topic is named once, with what makes it
    assert [(row.partitions, row.lag) for row in seen.rows] == [(0, None), (0, None)]
    (remark,) = seen.remarks
    assert (remark.zombie, remark.group, remark.process) == (Zombie.NO_TOPIC, "g", "")
    assert "topic orders is not on the cluster" in remark.text
    assert "inv topics.apply" in remark.text
    assert seen.exit_code is ExitCode.FAILED
