"""When one look is enough, when it is not, and what a survey comes to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from ops.core.cluster import CLASSIC, Group, Member, Partition, Progress
from ops.core.errors import ExitCode, UnreachableError
from ops.core.protocol import ProcessReport
from ops.core.sight import HostReport, Zombie
from ops.core.states import State
from ops.core.survey import Survey, Surveyor

ID = "app.h1.karafka.0"


def consumer(**facts: Any) -> dict[str, Any]:
    own = {"member_id": "m", "instance_id": ID, "generation": 3, "joined": True, "assignment": {"orders": [0]}}
    return {"state": "running", "groups": {"g": {**own, "idle_seconds": 0, **facts}}}


def host(consumer: dict[str, Any] | None, state: State = State.RUNNING, **report: Any) -> HostReport:
    """Return one process, of ours with a record, else a foreign command."""
    found = ProcessReport(
        "karafka-0", state, 100, release="20", uptime_seconds=60.0, consumer=consumer, **report
    )  # fmt: skip
    own = ID if consumer else None
    groups = {"karafka-0": () if consumer else ("g",)}
    return HostReport("h1", (found,), {"karafka-0": own}, groups, "20", addresses=("10.0.0.9",))


def group(member: str | None = ID, committed: int | None = 5, end: int = 5, more: Sequence[Member] = ()) -> Group:
    zero = Partition("orders", 0)
    members = [Member("m", member, "c", "10.0.0.9", ("orders",), (zero,))] if member != "" else []
    return Group("g", CLASSIC, "Stable", members=(*members, *more), progress=(Progress(zero, committed, end, begin=0),))


STRANGER = Member("x", None, "intruder", "10.0.0.8", ("orders",), ())


class Script:
    """Hosts and groups as one look after the other finds them, the last one from then on; time passes in sleeps."""

    def __init__(self, hosts: Sequence[HostReport], groups: Sequence[Group | UnreachableError]) -> None:
        self.looks = 0
        self.asked = 0
        self.now = 1000.0
        self.letters: dict[str, int | None] = {}
        self._hosts, self._groups = hosts, groups
        self.surveyor = Surveyor(self.processes, self.cluster, clock=lambda: self.now, sleep=self.sleep)

    def processes(self) -> list[HostReport]:
        self.looks += 1
        return [self._hosts[min(self.looks, len(self._hosts)) - 1]]

    def cluster(self, names: tuple[str, ...]) -> tuple[list[Group], dict[str, int | None]]:
        assert names == ("g",)
        self.asked += 1
        found = self._groups[min(self.looks, len(self._groups)) - 1]
        if isinstance(found, UnreachableError):
            raise found
        return [found], self.letters

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def zombies(survey: Survey) -> list[tuple[Zombie, ...]]:
    return [row.zombies for row in survey.observation.rows]


def test_a_fleet_that_works_is_looked_at_once() -> None:
    # Given a process that finished something a moment ago, with messages waiting
    script = Script([host(consumer())], [group(end=90)])
    # When it is surveyed
    survey = script.surveyor.once()
    # Then one look was enough
    assert (script.looks, survey.exit_code, zombies(survey)) == (1, ExitCode.DONE, [()])
    assert survey.observation.rows[0].lag == 85


def test_without_groups_nobody_asks_the_cluster() -> None:
    # Given a foreign command whose groups nobody tells
    unknown = replace(host(None), groups={})
    script = Script([unknown], [])
    survey = script.surveyor.once()
    # Then the cluster is not asked
    assert (script.asked, survey.asked, survey.exit_code) == (0, (), ExitCode.DONE)


def test_what_passes_within_a_moment_is_no_zombie() -> None:
    # Given a process that joins, and a member that leaves, between two looks
    for first, then in ((group(""), group()), (group(more=[STRANGER]), group())):
        script = Script([host(consumer())], [first, then])
        survey = script.surveyor.once()
        # Then the second look, a second later, clears it
        assert (script.looks, script.now, survey.exit_code) == (2, 1001.0, ExitCode.DONE)
        assert (survey.texts, zombies(survey)) == ((), [()])


def test_what_lasts_is_a_zombie() -> None:
    # Given a process that its group does not have, and a member that nobody explains
    script = Script([host(consumer())], [group("", more=[STRANGER])])
    survey = script.surveyor.once()
    # Then two looks are enough to say so
    assert (script.looks, survey.exit_code) == (2, ExitCode.FAILED)
    assert zombies(survey) == [(Zombie.NOT_IN_GROUP,)]
    assert [one.zombie for one in survey.observation.remarks] == [Zombie.NOT_IN_GROUP, Zombie.UNEXPLAINED]


def test_what_turns_up_later_is_confirmed_or_left_out() -> None:
    # Given something new in every look
    strangers = [replace(STRANGER, id=f"x{number}") for number in range(5)]
    script = Script([host(consumer())], [group(more=[one]) for one in strangers])
    survey = script.surveyor.once()
    # Then three looks are all there are, and nothing was seen twice
    assert (script.looks, survey.texts) == (3, ())


def test_a_young_process_may_still_be_on_its_way_into_its_group() -> None:
    # Given a process that started a moment ago
    young = host(consumer())
    young = replace(young, reports=(replace(young.reports[0], uptime_seconds=3.0),))
    script = Script([young], [group("")])
    # Then nobody misses it yet
    assert (script.surveyor.once().exit_code, script.looks) == (ExitCode.DONE, 1)


def test_an_old_release_needs_no_second_look() -> None:
    # Given a host whose current release is another one
    script = Script([replace(host(consumer()), current_release="21")], [group()])
    survey = script.surveyor.once()
    assert (script.looks, zombies(survey)) == (1, [(Zombie.OLD_RELEASE,)])


@pytest.mark.parametrize(
    ("facts", "report", "said"),
    [
        ({"overdue_seconds": 75.0, "working": True}, {}, "a message is in work for 75 s"),
        ({"last_progress_seconds_ago": 20.0}, {}, "has stood still for 20 s"),
        ({"uncommitted_seconds": 31.0}, {}, "could be committed for 31 s"),
        ({}, {"consumer_age_seconds": 40.0}, "has told nothing of itself for 40 s"),
        ({}, {"frozen": True}, "while it is frozen"),
    ],
)
def test_a_process_tells_itself_that_it_makes_no_progress(
    facts: dict[str, Any], report: dict[str, Any], said: str
) -> None:
    # Given a record that tells of trouble, twice
    script = Script([host(consumer(**facts), **report)], [group()])
    survey = script.surveyor.once()
    # Then that is what the status says
    assert (script.looks, zombies(survey), survey.exit_code) == (2, [(Zombie.NO_PROGRESS,)], ExitCode.FAILED)
    assert said in survey.texts[0]


def test_an_idle_consumer_with_messages_waiting_gets_a_second_look() -> None:
    # Given one that has finished nothing for long and is at nothing, while messages wait
    idle = host(consumer(idle_seconds=30))
    script = Script([idle], [group(end=90)])
    survey = script.surveyor.once()
    # Then a second look tells that it stands still
    assert (script.looks, zombies(survey)) == (2, [(Zombie.NO_PROGRESS,)])
    assert "messages wait in orders-0" in survey.texts[0]
    # And where it has committed meanwhile, or is at a message, it does not
    script = Script([idle, host(consumer())], [group(end=90), group(committed=20, end=90)])
    assert (script.surveyor.once().texts, script.looks) == ((), 2)
    script = Script([host(consumer(idle_seconds=30, working=True))], [group(end=90)])
    assert (script.surveyor.once().texts, script.looks) == ((), 1)


def test_a_foreign_command_has_six_seconds_to_commit() -> None:
    # Given a foreign command for which messages wait
    script = Script([host(None)], [group(None, end=90)])
    survey = script.surveyor.once()
    # Then it is called so only once the usual time between two commits has passed
    assert (script.now, zombies(survey)) == (1006.0, [(Zombie.NO_PROGRESS,)])
    # And one that commits is let go at once
    script = Script([host(None)], [group(None, end=90), group(None, committed=30, end=90)])
    assert (script.surveyor.once().texts, script.looks) == ((), 2)
    # And one that has begun at the end of what was there, and never had anything to commit, is well
    script = Script([host(None)], [group(None, committed=None, end=90)])
    assert (script.surveyor.once().texts, script.looks) == ((), 1)


def test_a_watched_fleet_is_compared_with_the_looks_before() -> None:
    # Given a foreign command that stands still, watched every two seconds
    script = Script([host(None)], [group(None, end=90)])
    seen = []
    for _ in range(6):
        seen.append(zombies(script.surveyor.again())[0])
        script.sleep(2)
    # Then it is called so from the look on that is six seconds after the first, one look each
    assert seen == [(), (), (), (Zombie.NO_PROGRESS,), (Zombie.NO_PROGRESS,), (Zombie.NO_PROGRESS,)]
    assert script.looks == 6


def test_a_cluster_that_cannot_be_asked_is_unknown_and_worse_than_a_zombie() -> None:
    # Given a cluster that does not answer, and a process of an old release
    error = UnreachableError("no broker answered", where="h1", hint="check them")
    script = Script([replace(host(consumer()), current_release="21")], [error])
    survey = script.surveyor.once()
    # Then it is 4, the lag is unknown, and the reason stands in one line
    assert (survey.exit_code, survey.observation.rows[0].lag) == (ExitCode.UNREACHABLE, None)
    assert survey.texts[0] == "the lag is unknown, the cluster could not be asked: h1: no broker answered; check them"
    # And dead processes come before stopped ones
    stopped = Script([host(consumer(), State.DEAD)], [group("")])
    assert stopped.surveyor.once().exit_code is ExitCode.FAILED


def test_a_cluster_that_could_not_be_asked_is_waited_for_once_in_a_look_however_often_hosts_are_looked_at() -> None:
    # Given a cluster that does not answer, and a process that says it is no member, which wants a second look
    error = UnreachableError("no broker answered", where="h1")
    script = Script([host(consumer(joined=False, generation=0))], [error])
    script.surveyor.once()
    # Then the cluster was asked once; a later look asks again
    assert script.asked == 1
    script.surveyor.again()
    assert script.asked == 2


def test_dead_letters_are_counted_by_the_topics_that_the_records_name_and_fail_no_status() -> None:
    # Given processes whose records name topics, one of which nobody could count, and a host that says anything
    record = consumer(dead_letter_topics=["app.dead", "app.more", "app.none", 5, "a b", "..", "x" * 300])
    script = Script([host(record)], [group()])
    script.letters = {"app.dead": 2, "app.more": None, "app.none": 0, "else": 7}
    survey = script.surveyor.once()
    # Then those are told that there are
    assert survey.texts == ("group g: 2 dead letters in app.dead; inv dead shows them",)
    assert [(one.topic, one.groups, one.count) for one in survey.letters] == [
        ("app.dead", ("g",), 2),
        ("app.more", ("g",), None),
        ("app.none", ("g",), 0),
    ]
    assert survey.exit_code is ExitCode.DONE
    # And where the cluster could not be asked, none is
    away = Script([host(record)], [UnreachableError("away")])
    away.letters = script.letters
    assert [one.count for one in away.surveyor.once().letters] == [None, None, None]


def test_a_stopped_process_does_not_take_the_place_of_one_that_runs() -> None:
    # Given two foreign processes, the first of them stopped, and one member
    one = host(None)
    stopped = replace(one.reports[0], name="karafka-0", state=State.STOPPED, pid=None, ended_seconds=3600.0)
    running = replace(one.reports[0], name="karafka-1")
    both = replace(
        one, reports=(stopped, running), instance_ids={"karafka-0": None, "karafka-1": None},
        groups={"karafka-0": ("g",), "karafka-1": ("g",)},
    )  # fmt: skip
    survey = Script([both], [group(None)]).surveyor.once()
    # Then the member is the running one's
    assert [row.partitions for row in survey.observation.rows] == [0, 1]
    assert survey.texts == ()
