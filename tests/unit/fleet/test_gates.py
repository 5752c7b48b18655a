"""The gates around the batches of a restart: what is asked of whom, and what an answer leads to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from ops.core.asking import Answer as ClusterAnswer
from ops.core.asking import Ask, Question
from ops.core.cluster import CLASSIC, STABLE, Group, Member, Partition, Progress
from ops.core.errors import ExitCode, UnreachableError
from ops.core.evidence import Evidence, Outcome
from ops.core.handover import CAPABLE, HANDOVER
from ops.core.protocol import Event, ProcessReport, Request, Response, Verb, encode_line
from ops.core.section import load
from ops.core.standing import SESSION
from ops.core.states import State
from ops.core.verdict import Cause, Judgement, Reason, Verdict
from ops.fleet.evidence import Chronicle
from ops.fleet.gates import Gates
from ops.fleet.inventory import Selection, select
from ops.fleet.observer import observer_of
from ops.fleet.plan import make_plan
from ops.fleet.release_topics import ReleaseTopics
from ops.fleet.report import Kind, Report
from ops.fleet.report import Outcome as HostOutcome
from ops.fleet.rollout import carry_out
from ops.fleet.transport.fake import Answer, FakeTransport

HOSTS = ("web1", "web2", "web3")
PASSED = Judgement(Verdict.PASSED)
REFUSED = Judgement(Verdict.REFUSED, (Reason(Cause.UNOWNED, "g", "group g: nobody owns t-1"),))


class Silent:
    def event(self, host: str, event: Event) -> None: ...

    def finished(self, outcome: HostOutcome) -> None: ...

    def interrupted(self, hosts: tuple[str, ...]) -> None: ...


def record(name: str) -> dict[str, Any]:
    member = {"member_id": name, "instance_id": name, "generation": 3, "joined": True, "assignment": {"t": [0]}}
    return {"groups": {"g": member}, SESSION: 60.0, CAPABLE: HANDOVER}


@dataclass
class Stage:
    """A stage of three hosts that answer as told, and what the cluster was asked."""

    judgements: list[Judgement] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    others: dict[str, tuple[ProcessReport, ...]] = field(default_factory=dict)
    unstartable: dict[str, str] = field(default_factory=dict)
    mute: set[str] = field(default_factory=set)
    down: set[str] = field(default_factory=set)
    app: str | None = "x:app"
    fails: set[str] = field(default_factory=set)
    residents: dict[str, str] = field(default_factory=dict)
    session: float = 60.0
    asked: list[tuple[str, Question]] = field(default_factory=list)
    orders: list[tuple[str, Verb]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    rollout: dict[str, Any] = field(default_factory=dict)
    reads: dict[str, list[str]] = field(default_factory=lambda: {"g": ["t"]})
    topics: dict[str, int | None] = field(default_factory=dict)
    groups: tuple[Group, ...] = ()
    fresh: dict[str, tuple[str, ...]] = field(default_factory=dict)
    on_restart: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.transport = FakeTransport({host: self._host(host) for host in HOSTS})

    def _host(self, host: str) -> Callable[[tuple[str, ...], bytes], Answer]:
        def answer(command: tuple[str, ...], data: bytes) -> Answer:
            if command[-1] == "ops.kafka":
                return Answer([f"{self._cluster(host, Question.decode(data.decode())).encode()}\n".encode()])
            request = Request.decode(data.decode())
            if host in self.down:
                raise UnreachableError("it refuses connections", where=host)
            if request.verb is Verb.RESTART:
                self.on_restart(host)
                self.fresh[host] = request.processes[0].fresh_member_of
            self.orders.append((host, request.verb))
            if request.verb is Verb.DESCRIBE:
                answered = Response((), described=self.reads) if self.reads else Response((), "it exited with 1")
                return Answer([f"{encode_line(answered)}\n".encode()])
            state = self.states.get(host, State.RUNNING)
            ok = host not in self.fails or request.verb is not Verb.RESTART
            consumer = {**record(f"a.{host}.karafka.0"), SESSION: self.session}
            why = self.unstartable.get(host, "")
            reports = tuple(
                ProcessReport(one.name, state, ok=ok, consumer=consumer, unstartable=why) for one in request.processes
            )
            others = self.others.get(host, ()) if request.roster else ()
            here = self.residents.get(host, "")
            return Answer([f"{encode_line(Response(reports, others=others, resident=here))}\n".encode()])

        return answer

    def _cluster(self, host: str, question: Question) -> ClusterAnswer:
        if host in self.mute:
            raise UnreachableError("down", where=host)
        self.asked.append((host, question))
        if question.ask is Ask.TOPICS:
            return ClusterAnswer(topics={name: self.topics[name] for name in question.names})
        if question.ask is Ask.REMOVE_MEMBERS:
            return ClusterAnswer(removed=dict.fromkeys(question.instances, True))
        return ClusterAnswer(groups=self.groups, judgement=self.judgements.pop(0) if self.judgements else PASSED)

    def _kafka(self) -> dict[str, Any]:
        named = [{"topic": name} for name in self.topics]
        return {"groups": ["g"], "brokers": ["b:9092"], "topics": {"named": named}}

    def restart(
        self,
        chosen: str | None = None,
        *,
        force: str = "",
        scale_down: bool = True,
        reachable_only: bool = False,
        verb: Verb = Verb.RESTART,
    ) -> tuple[Report, Evidence]:
        section = {
            "application": "a",
            "deploy_to": "/srv/a",
            "command": "run",
            "app": self.app,
            **({} if self.app else {"kafka": self._kafka(), "readiness": "alive"}),
            "rollout": {"settle_seconds": 0, "gate_timeout_seconds": 3, **self.rollout},
            "stages": {"test": {"hosts": [{"host": host} for host in HOSTS]}},
        }
        settings = load(section)
        chronicle = Chronicle(Evidence("a", "test", "rolling", "ann", 7, 0.0, 0.0, Outcome.DONE, 0))
        everybody = make_plan(settings, select(settings, Selection()), Verb.STATUS)
        gates = Gates(
            settings,
            observer_of(settings, self.transport, everybody.actions),
            lambda without: carry_out(everybody.without(without), self.transport, Silent()),
            partial(ReleaseTopics.ask, self.transport),
            chronicle,
            self.said.append,
            covers=lambda _: scale_down,
            force=force,
            reachable_only=reachable_only,
        )
        plan = make_plan(settings, select(settings, Selection.parse(chosen)), verb)
        report = carry_out(plan, self.transport, Silent(), gates)
        return report, chronicle.evidence(Outcome.DONE, int(report.exit_code))

    @property
    def restarted(self) -> list[str]:
        return [host for host, verb in self.orders if verb is Verb.RESTART]


def test_a_gate_is_asked_through_a_host_that_is_not_in_the_batch() -> None:
    # Given three hosts that do well
    stage = Stage()
    # When they are restarted one after the other
    report, _ = stage.restart()
    # Then the preflight and each gate passed, asked of the first host that is not being restarted
    assert report.exit_code == 0
    assert [(host, question.ask) for host, question in stage.asked] == [
        ("web1", Ask.PREFLIGHT),
        ("web2", Ask.GATE),
        ("web1", Ask.GATE),
        ("web1", Ask.GATE),
    ]


def test_where_a_host_cannot_ask_the_next_one_does() -> None:
    # Given a first host that does not reach the cluster
    stage = Stage(mute={"web1"})
    # When the fleet is restarted
    report, _ = stage.restart()
    # Then the others are asked in its place
    assert report.exit_code == 0
    assert {host for host, _ in stage.asked} == {"web2", "web3"}


def test_where_nobody_can_ask_nothing_is_touched() -> None:
    # Given hosts of which none reaches the cluster
    stage = Stage(mute=set(HOSTS))
    # When the fleet is restarted
    report, _ = stage.restart()
    # Then it is refused as unknown, with what all of them said, once
    assert report.exit_code == 11
    assert stage.restarted == []
    assert "unknown" in str(report.ended)
    assert f"{', '.join(HOSTS)}: down" in str(report.ended)


def test_a_topic_of_the_settings_that_is_missing_is_said_before_anything_is_touched() -> None:
    # Given settings that name topics of a foreign consumer, one of which is not on the cluster
    stage = Stage(app=None, topics={"invoices": None, "orders": 3})
    # When it is restarted
    report, _ = stage.restart()
    # Then that is said first, and stops nothing
    assert report.exit_code is ExitCode.DONE
    assert stage.said[0] == (
        "topic invoices is not on the cluster, and kafka.topics names it: inv topics.apply makes it"
    )
    assert not any("orders" in one for one in stage.said)


def test_a_refused_preflight_is_overruled_by_force_and_its_causes_stop_nothing() -> None:
    # Given a group that is not fit
    stage = Stage(judgements=[REFUSED])
    # When the restart is forced
    report, evidence = stage.restart(force="the disk is full")
    # Then it goes on, says so, and the gates accept that very cause
    assert report.exit_code == 0
    assert any("the disk is full" in line for line in stage.said)
    accepted = [question.terms.accepted for _, question in stage.asked[1:] if question.terms]
    assert accepted == [(Cause.UNOWNED,)] * 3
    # And the evidence has what was found
    assert evidence.verdicts[0].reasons == ("group g: nobody owns t-1",)


def test_without_force_a_refused_preflight_stops_everything() -> None:
    # Given a group that is not fit
    stage = Stage(judgements=[REFUSED])
    # When the fleet is restarted
    report, _ = stage.restart()
    # Then nothing is touched and the reason is told
    assert (report.exit_code, stage.restarted) == (11, [])
    assert "nobody owns t-1" in str(report.ended)


def test_a_gate_that_refuses_leaves_the_later_batches_alone() -> None:
    # Given a group that does not work after the first batch
    stage = Stage(judgements=[PASSED, REFUSED])
    # When the fleet is restarted
    report, evidence = stage.restart()
    # Then the first host was, the others are listed as not attempted
    assert (report.exit_code, stage.restarted) == (11, ["web1"])
    assert [str(one.kind) for one in report.outcomes] == ["answered", "not attempted", "not attempted"]
    assert [verdict.verdict for verdict in evidence.verdicts] == ["passed", "refused"]


@pytest.mark.parametrize("state", [State.DEAD, State.CRASH_LOOPING])
def test_a_process_that_ends_while_the_first_batch_settles_stops_the_rollout(state: State) -> None:
    # Given a release that dies after it was ready, and may be started again and again by whoever keeps it
    stage = Stage(rollout={"settle_seconds": 30})

    def dies(host: str) -> None:
        stage.states[host] = state

    stage.on_restart = dies
    # And a gate that waits for nothing else
    stage.judgements = [
        PASSED,
        Judgement(Verdict.REFUSED, (Reason(Cause.DOWN, "", f"web1 karafka-0 is {state}"),), final=True),
    ]
    # When the fleet is restarted
    report, _ = stage.restart()
    # Then it stops after the first batch, long before the time to settle is over
    assert (report.exit_code, stage.restarted) == (11, ["web1"])
    gate = stage.asked[-1][1].terms
    assert gate is not None
    assert {one.name: one.state for one in gate.processes}["web1 karafka-0"] is state


def test_a_process_that_ends_while_a_gate_waits_is_soon_seen_for_what_it_is() -> None:
    # Given a gate that may take two minutes, and a first question that nothing came of in ten seconds
    stage = Stage(rollout={"gate_timeout_seconds": 120})
    stuck = Judgement(Verdict.REFUSED, (Reason(Cause.WEDGED, "g", "group g: web1 does not advance"),), (), 10.0)
    down = Judgement(Verdict.REFUSED, (Reason(Cause.DOWN, "", "web1 karafka-0 is dead"),), final=True)
    stage.judgements = [PASSED, stuck, down]
    # When the fleet is restarted
    report, _ = stage.restart()
    # Then the processes were looked at again, and the next question told the reason
    assert (report.exit_code, stage.restarted) == (11, ["web1"])
    assert "web1 karafka-0 is dead" in str(report.ended)
    waits = [question.deadline_seconds for _, question in stage.asked if question.ask is Ask.GATE]
    assert waits == [10.0, 20.0]
    # And one that is away for a while is asked again, for all the time there is in the end
    away = Judgement(Verdict.UNKNOWN, (Reason(Cause.UNREACHABLE, "", "no broker answers"),), (), 20.0)
    stage = Stage(rollout={"gate_timeout_seconds": 120}, judgements=[PASSED, stuck, away, PASSED])
    report, _ = stage.restart("web1")
    assert report.exit_code == 0
    assert 100 < stage.asked[-1][1].deadline_seconds <= 120


def test_failures_within_the_limit_go_on_without_the_failed_host() -> None:
    # Given one host that may fail, and does, and is down then
    stage = Stage(rollout={"max_failures": 1}, fails={"web1"})

    def dies(host: str) -> None:
        stage.states[host] = State.DEAD if host == "web1" else State.RUNNING

    stage.on_restart = dies
    # When the fleet is restarted
    report, _ = stage.restart()
    # Then the others have their turn, nothing is expected of the failed one, and the command has failed
    assert stage.restarted == ["web1", "web2", "web3"]
    assert report.exit_code == 1
    terms = [question.terms for _, question in stage.asked if question.ask is Ask.GATE]
    assert [[one.name for one in each.processes if one.given_up] for each in terms if each] == [["web1 karafka-0"]] * 3


def test_one_failure_too_many_ends_it() -> None:
    # Given one host that may fail, and two that do
    stage = Stage(rollout={"max_failures": 1}, fails={"web1", "web2"})
    # When the fleet is restarted
    report, _ = stage.restart()
    # Then the third one is left alone
    assert stage.restarted == ["web1", "web2"]
    assert report.exit_code == 1


def test_a_place_that_is_kept_for_too_short_a_time_is_told_to_the_preflight() -> None:
    # Given a warm restart of one host
    stage = Stage(session=15.0)
    # When it is planned
    stage.restart("web1")
    # Then the preflight knows how long its place may be empty, and of the others that theirs is not
    terms = stage.asked[0][1].terms
    assert terms is not None
    assert {one.name: (one.session_timeout_seconds, one.pause_seconds) for one in terms.processes} == {
        "web1 karafka-0": (15.0, 20.0),
        "web2 karafka-0": (15.0, 0.0),
        "web3 karafka-0": (15.0, 0.0),
    }
    # And without a standby it is the time of a stop and a start
    cold = Stage(rollout={"standby": "off"})
    cold.restart("web1")
    terms = cold.asked[0][1].terms
    assert terms is not None
    assert terms.processes[0].pause_seconds == 50.0


@pytest.mark.parametrize("state", [State.DEAD, State.CRASH_LOOPING])
def test_the_places_of_processes_that_do_not_run_are_told_to_preflight_and_gates(state: State) -> None:
    # Given a process that is dead, or dies again and again, before the restart that is to heal it
    stage = Stage(states={"web2": state})
    stage.on_restart = lambda host: stage.states.update({host: State.RUNNING})
    # When the fleet is restarted
    report, _ = stage.restart()
    # Then preflight and gates know whose place is left over
    assert report.exit_code == 0
    terms = [question.terms for _, question in stage.asked]
    assert [each.absent for each in terms if each] == [("a.web2.karafka.0",)] * 4


def test_a_command_that_cannot_be_started_on_one_host_stops_nobody_on_any() -> None:
    # Given a last host whose command is not there
    stage = Stage(unstartable={"web3": "the command .venv/bin/pyhton cannot be run: there is no such file"})
    # When the fleet is restarted, forced or not
    for force in ("", "now"):
        report, evidence = stage.restart(force=force)
        # Then no host is touched, and the reason stands in error and evidence
        assert (report.exit_code, stage.restarted) == (11, [])
        assert "web3 karafka-0: the command .venv/bin/pyhton" in str(report.ended)
        assert [(one.name, one.verdict) for one in evidence.verdicts] == [("preflight", "refused")]
    # And a host that is not chosen keeps nobody from it
    assert stage.restart("web1,web2")[0].exit_code == 0


def test_two_hosts_that_share_a_folder_are_refused_before_anything_is_touched() -> None:
    # Given a host whose folder is its own, one where nobody wrote down whose it is, and one that has the first one's
    stage = Stage(residents={"web1": "web1", "web3": "web1"})
    # When they are restarted, whatever is forced
    report, _ = stage.restart(force="I know")
    # Then nothing was touched, and the reason is said with the way out
    assert stage.restarted == []
    assert report.exit_code == 11
    assert "/srv/a is the one of host web1, not of web3: two hosts cannot share one" in str(report.ended)
    assert "fab karafka.setup" in str(report.ended)


def superfluous() -> ProcessReport:
    gone = record("a.web2.karafka.1")
    return ProcessReport("karafka-1", State.RUNNING, consumer=gone)


def test_slots_that_the_settings_do_not_have_are_stopped_first_and_leave_their_group() -> None:
    # Given a second process on web2 that the settings do not have any more
    stage = Stage(others={"web2": (superfluous(),)})
    # When the fleet is restarted
    report, evidence = stage.restart()
    # Then it is stopped before anything else, and removed from its group
    assert report.exit_code == 0
    changes = [order for order in stage.orders if order[1] in (Verb.STOP, Verb.RESTART)]
    assert changes == [("web2", Verb.STOP), *[(host, Verb.RESTART) for host in HOSTS]]
    removals = [question for _, question in stage.asked if question.ask is Ask.REMOVE_MEMBERS]
    assert [(one.names, one.instances) for one in removals] == [(("g",), ("a.web2.karafka.1",))]
    # And the preflight knew it as one of ours, the gates after it expect it no more
    first, second = stage.asked[0][1].terms, stage.asked[2][1].terms
    assert first is not None
    assert second is not None
    assert "web2 karafka-1" in {one.name for one in first.processes}
    assert "web2 karafka-1" not in {one.name for one in second.processes}
    # And the evidence calls the rebalance a planned one
    assert [group.planned for group in evidence.groups if group.name == "g"] == [1]


def test_slots_of_hosts_that_are_not_chosen_are_left_alone() -> None:
    # Given a superfluous process on web2
    stage = Stage(others={"web2": (superfluous(),)})
    # When web1 alone is restarted, or single processes are
    for chosen, scale_down in (("web1", True), (None, False)):
        stage.orders.clear()
        stage.restart(chosen, scale_down=scale_down)
        # Then it goes on, and no gate takes it for a stranger
        assert (("web2", Verb.STOP)) not in stage.orders
        # And where its host is chosen it is named, with what ends it
        left = [text for text in stage.said if "web2 karafka-1 runs" in text and "left alone" in text]
        assert len(left) == (chosen is None)
        assert all(text.endswith("fab karafka.restart --hosts web2 ends it") for text in left)
        terms = stage.asked[-1][1].terms
        assert terms is not None
        assert "web2 karafka-1" in {one.name for one in terms.processes}


def group(*topics: str) -> Group:
    members = tuple(
        Member(host, f"a.{host}.karafka.0", "a", "h", topics, (Partition(topics[0], number),))
        for number, host in enumerate(HOSTS)
    )
    progress = tuple(Progress(Partition(topic, number), 5, 5) for topic in ("t", "u") for number in range(3))
    return Group("g", CLASSIC, STABLE, members=members, progress=progress)


def test_a_release_that_adds_a_topic_lets_the_last_slot_leave_the_group() -> None:
    # Given a group that reads t, and a release that reads u, too
    stage = Stage(reads={"g": ["t", "u"]}, groups=(group("t"),))
    # When the fleet is restarted
    report, evidence = stage.restart()
    # Then the last slot leaves at its takeover, no other one, and it is said in plain words and in the evidence
    assert report.exit_code == 0
    assert stage.fresh == {"web1": (), "web2": (), "web3": ("g",)}
    said = "group g: +u; a planned rebalance at web3 karafka-0"
    assert said in stage.said
    assert said in evidence.notes
    assert [each.planned for each in evidence.groups] == [1]
    # And nothing is expected of the new topic until then, all of it after
    terms = [question.terms for _, question in stage.asked if question.terms]
    assert [each.changing for each in terms] == [{}, {"g": ("u",)}, {"g": ("u",)}, {}]
    assert [each.topics for each in terms] == [{"g": ("t", "u")}] * 4


def test_a_release_that_takes_a_topic_away_lets_every_slot_leave() -> None:
    # Given a group that reads t and u, and a release that reads t alone
    stage = Stage(groups=(group("t", "u"),))
    # When the fleet is restarted
    _, evidence = stage.restart()
    # Then each slot leaves at its takeover
    assert stage.fresh == dict.fromkeys(HOSTS, ("g",))
    assert [each.planned for each in evidence.groups] == [3]


def test_what_a_broken_off_rollout_left_unowned_does_not_keep_the_next_one_from_mending_it() -> None:
    # Given a group whose members read u already, which nobody owns: the preflight refuses that at first
    stage = Stage(judgements=[REFUSED, PASSED], reads={"g": ["t", "u"]}, groups=(group("t", "u"),))
    # When the fleet is restarted with the same release
    report, _ = stage.restart()
    # Then it is asked again, for all but that topic, and goes on
    assert report.exit_code == 0
    assert [question.ask for _, question in stage.asked][:2] == [Ask.PREFLIGHT] * 2
    again = stage.asked[1][1].terms
    assert again is not None
    assert again.changing == {"g": ("u",)}


def test_a_release_that_cannot_say_what_it_reads_is_left_to_its_restart() -> None:
    # Given a release that ends when it is asked
    stage = Stage(reads={}, groups=(group("t"),))
    # When the fleet is restarted
    report, _ = stage.restart()
    # Then that is said, and the restart shows what comes of it
    assert report.exit_code == 0
    assert any("what the release reads is not known" in line for line in stage.said)
    assert stage.fresh == dict.fromkeys(HOSTS, ())


def test_a_host_that_does_not_answer_ends_a_restart_before_anything_is_touched() -> None:
    # Given three hosts, one of which is down
    stage = Stage(down={"web2"})
    # When all are to be restarted
    report, _ = stage.restart()
    # Then nothing is, and the host and the reason are named, and how to go on without it
    assert stage.restarted == []
    assert stage.asked == []
    assert report.exit_code == ExitCode.UNREACHABLE
    text = str(report.ended)
    assert text.startswith("1 of 3 hosts do not answer, so that no process was touched")
    assert "web2: it refuses connections" in text
    assert "--reachable-only" in text
    assert [outcome.kind for outcome in report.outcomes] == [Kind.NOT_ATTEMPTED] * 3
    # And a recipe without that flag names the hosts that answer
    report, _ = stage.restart(verb=Verb.MIGRATE)
    assert "--hosts web1,web3" in str(report.ended)


def test_a_restart_goes_on_without_hosts_that_do_not_answer_where_it_is_told_to() -> None:
    # Given three hosts, the first of which is down
    stage = Stage(down={"web1"}, mute={"web1"}, rollout={"canary": 1, "batch": [1, 2]})
    # When those that answer are to be restarted
    report, _ = stage.restart(reachable_only=True)
    # Then they are, and the other one is told and counts in the exit code
    assert stage.restarted == ["web2", "web3"]
    assert any("left out" in line and "web1: it refuses connections" in line for line in stage.said)
    assert {outcome.host: outcome.kind for outcome in report.outcomes} == {
        "web1": Kind.UNREACHABLE,
        "web2": Kind.ANSWERED,
        "web3": Kind.ANSWERED,
    }
    assert report.exit_code == ExitCode.UNREACHABLE
    # And where none answers there is nothing to go on with
    report, _ = Stage(down=set(HOSTS)).restart(reachable_only=True)
    assert str(report.ended).startswith("no host answers")


def test_a_host_that_is_not_selected_may_be_down() -> None:
    # Given three hosts, one of which is down
    stage = Stage(down={"web2"}, mute={"web2"})
    # When another one is restarted
    report, _ = stage.restart("web1", scale_down=False)
    # Then that is done
    assert stage.restarted == ["web1"]
    assert report.exit_code == 0


@pytest.mark.parametrize(("app", "unseen"), [("x:app", 0), (None, 1)])
def test_members_that_may_be_on_a_host_that_does_not_answer_are_counted(app: str | None, unseen: int) -> None:
    # Given a host that is down, with a process whose instance id is known, or is not
    stage = Stage(down={"web3"}, mute={"web3"}, app=app)
    # When the others are restarted
    stage.restart("web1,web2", scale_down=False)
    # Then the cluster is told of as many members as may be that host's
    questions = [question for _, question in stage.asked]
    assert questions
    assert {question.terms.unseen for question in questions if question.terms} == {unseen}
