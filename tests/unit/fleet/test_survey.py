"""Asking the cluster through hosts, and joining what both say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from ops.core import asking
from ops.core.asking import Ask, Question
from ops.core.cluster import CLASSIC, Group, Member, Partition, Progress
from ops.core.errors import OpsError, UnreachableError
from ops.core.protocol import ProcessReport, Request, Response, Verb, encode_line
from ops.core.section import load
from ops.core.settings import Settings
from ops.core.states import State
from ops.fleet.inventory import Selection, select
from ops.fleet.observer import Observer
from ops.fleet.plan import make_plan
from ops.fleet.survey import FleetLook, with_survey
from ops.fleet.tasks.showing import Silent
from ops.fleet.transport import Exit
from ops.fleet.transport.fake import Answer, FakeTransport

GROUP = Group("orders", CLASSIC, "Stable", members=(Member("m1", "shop.h1.karafka.0", "c", "h", ("t",), ()),))


def settings_of(hosts: int = 3, **more: Any) -> Settings:
    named = [{"host": f"h{number}", "deploy_to": f"/srv/{number}"} for number in range(1, hosts + 1)]
    base = {
        "application": "shop",
        "deploy_to": "/srv",
        "command": "run",
        "app": "a:b",
        "stages": {"t": {"hosts": named}},
    }
    return load({**base, **more})


def line(answer: asking.Answer) -> Answer:
    return Answer([f"{answer.encode()}\n".encode()], Exit(answer.exit_code))


def observer(hosts: Mapping[str, Any], settings: Settings) -> tuple[Observer, FakeTransport]:
    transport = FakeTransport(hosts)
    return Observer(transport, make_plan(settings, select(settings, Selection()), Verb.STATUS).actions), transport


def test_what_several_hosts_say_alike_is_said_once() -> None:
    # Given two hosts that no broker answers
    away = line(asking.Answer(error="KAFKA: no broker answered\n  check them", exit_code=4))
    asks, _ = observer({"h1": away, "h2": away}, settings_of(2))
    # Then the reason is told once, with both of them
    with pytest.raises(UnreachableError) as caught:
        asks.ask(Question(Ask.GROUPS, ("orders",)))
    assert str(caught.value) == "h1, h2: KAFKA: no broker answered; check them"


def test_what_keeps_several_hosts_from_an_answer_is_said_once() -> None:
    # Given hosts whose agents end in the same way, and one that is down
    broken = Answer([], Exit(1, "No module named ops.kafka"))
    down = UnreachableError("down", where="h2", hint="look at it")
    asks, _ = observer({"h1": broken, "h2": down, "h3": broken}, settings_of())
    # Then each reason is told once, with the hosts that it is of
    with pytest.raises(UnreachableError) as caught:
        asks.ask(Question(Ask.GROUPS, ("orders",)))
    assert str(caught.value) == (
        "h1, h3: the cluster could not be asked here; on standard error: No module named ops.kafka; "
        "h2: down; look at it"
    )


def test_the_first_host_that_can_ask_is_asked_the_next_one_on_failure() -> None:
    # Given a host that is down, one without the tool, one that reaches the brokers
    settings = settings_of(env={"KARAFKA_SECURITY_PROTOCOL": "SSL", "OTHER": "x"})
    down = UnreachableError("down", where="h1", hint="look at it")
    broken = Answer([], Exit(1, "No module named ops.kafka"))
    asks, transport = observer({"h1": down, "h2": broken, "h3": line(asking.Answer(groups=(GROUP,)))}, settings)
    # When it is asked
    answer = asks.ask(Question(Ask.GROUPS, ("orders",)))
    # Then all three were tried in turn, and the last one answered
    assert answer.groups == (GROUP,)
    assert [one.target.name for one in transport.asked] == ["h1", "h2", "h3"]
    # And it was asked with what its own processes have
    asked = Question.decode(transport.asked[2].data.decode())
    assert transport.asked[2].command[-1] == "ops.kafka"
    assert (asked.env_file, asked.env["KARAFKA_SECURITY_PROTOCOL"]) == ("/srv/3/shared/karafka.env", "SSL")
    assert "OTHER" not in asked.env


def test_where_no_host_can_ask_each_reason_is_said() -> None:
    # Given hosts that fail each in its own way
    said = line(asking.Answer(error="KARAFKA_BROKERS: missing\n  for example a:1", exit_code=2))
    asks, _ = observer({"h1": UnreachableError("down", where="h1"), "h2": said}, settings_of(2))
    # Then the error names both, in one line
    with pytest.raises(UnreachableError, match="h1: down; h2: KARAFKA_BROKERS: missing; for example a:1"):
        asks.ask(Question(Ask.GROUPS, ("orders",)))


class Stage:
    """Hosts whose agents and clusters answer as told."""

    def __init__(
        self, settings: Settings, hosts: Mapping[str, Response | OpsError], groups: asking.Answer | None = None
    ) -> None:
        self.settings = settings
        self.transport = FakeTransport({name: self._host(said, groups) for name, said in hosts.items()})

    @staticmethod
    def _host(said: Response | OpsError, groups: asking.Answer | None) -> Callable[..., Answer] | OpsError:
        if isinstance(said, OpsError):
            return said

        def answer(command: tuple[str, ...], data: bytes) -> Answer:
            if command[-1] == "ops.kafka":
                assert groups is not None, "the cluster was asked"
                return line(groups)
            assert Request.decode(data.decode()).verb is Verb.STATUS
            return Answer([f"{encode_line(said)}\n".encode()])

        return answer

    def look(self, selection: Selection | None = None) -> FleetLook:
        plan = make_plan(self.settings, select(self.settings, selection or Selection()), Verb.STATUS)
        return FleetLook(self.settings, plan, self.transport, Silent())


def working(host: str, *numbers: int) -> Response:
    facts = {
        "member_id": f"member-{host}", "instance_id": f"shop.{host}.karafka.0", "generation": 2, "joined": True,
        "assignment": {"t": list(numbers)}, "idle_seconds": 0,
    }  # fmt: skip
    record = {"state": "running", "groups": {"orders": facts}}
    report = ProcessReport("karafka-0", State.RUNNING, 7, uptime_seconds=99.0, release="20", consumer=record)
    return Response((report,), current="20")


def cluster(hosts: int) -> asking.Answer:
    members = tuple(
        Member(f"member-h{n}", f"shop.h{n}.karafka.0", "c", "h", ("t",), (Partition("t", n),))
        for n in range(1, hosts + 1)
    )
    progress = tuple(Progress(Partition("t", n), n, 2 * n) for n in range(1, hosts + 1))
    return asking.Answer(groups=(Group("orders", CLASSIC, "Stable", members=members, progress=progress),))


def test_one_more_question_on_one_host_joins_all() -> None:
    # Given two hosts that work
    stage = Stage(settings_of(2), {"h1": working("h1", 1), "h2": working("h2", 2)}, cluster(2))
    look = stage.look()
    survey = look.surveyor.once()
    # Then each host was asked for its processes, and the first one for their groups
    asked = [(one.target.name, one.command[-1]) for one in stage.transport.asked]
    assert sorted(asked[:2]) == [("h1", "ops.node"), ("h2", "ops.node")]
    assert asked[2:] == [("h1", "ops.kafka")]
    # And the JSON keeps its shape and tells more
    assert look.report is not None
    data = json.loads(json.dumps(with_survey(look.report.as_json(), survey)))
    (one,) = data["hosts"][1]["processes"]
    assert (data["stage"], data["verb"], data["remarks"]) == ("t", "status", [])
    assert one["places"] == [
        {
            "group": "orders",
            "state": "Stable",
            "member_id": "member-h2",
            "generation": 2,
            "partitions": ["t-2"],
            "lag": 2,
        }
    ]
    assert (one["name"], one["zombies"], survey.exit_code) == ("karafka-0", [], 0)


def test_members_of_hosts_that_were_not_chosen_are_explained_and_these_may_ask_too() -> None:
    # Given a selection of one host, whose own way to the cluster is broken
    stage = Stage(settings_of(2), {"h1": working("h1", 1), "h2": working("h2", 2)}, cluster(2))
    survey = stage.look(Selection(hosts=("h1",))).surveyor.once()
    # Then the other's member is no stranger, and it has no row
    assert survey.texts == ()
    assert [row.host for row in survey.observation.rows] == ["h1"]


def test_a_host_that_did_not_answer_is_not_asked_through_again() -> None:
    # Given the first host down
    down = UnreachableError("down", where="h1")
    stage = Stage(settings_of(2), {"h1": down, "h2": working("h2", 2)}, cluster(2))
    survey = stage.look().surveyor.once()
    # Then it is unknown, the other is known, and nobody waited for the first one twice
    asked = [(one.target.name, one.command[-1]) for one in stage.transport.asked]
    assert (asked.count(("h1", "ops.kafka")), asked.count(("h2", "ops.kafka"))) == (0, 1)
    assert (survey.exit_code, survey.texts) == (4, ())
    assert [row.lag for row in survey.observation.rows] == [1, 2]


def test_where_nobody_tells_groups_the_cluster_is_not_asked() -> None:
    # Given a foreign command
    stage = Stage(settings_of(1, app=None), {"h1": Response((ProcessReport("karafka-0", State.RUNNING, 7),))})
    # Then nothing but the agents is asked
    assert stage.look().surveyor.once().asked == ()
    assert [one.command[-1] for one in stage.transport.asked] == ["ops.node"]


def test_groups_come_from_the_settings_too() -> None:
    # Given a foreign command whose groups the settings name, and an app whose processes run some each
    foreign = Response((ProcessReport("karafka-0", State.STOPPED),))
    stage = Stage(settings_of(1, app=None, kafka={"groups": ["orders"]}), {"h1": foreign}, cluster(0))
    assert stage.look().surveyor.once().asked == ("orders",)
    stage = Stage(settings_of(1, consumer_groups=["orders,more"]), {"h1": foreign}, cluster(0))
    assert stage.look().surveyor.once().asked == ("more", "orders")
