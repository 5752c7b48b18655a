"""A restart of what is outdated: which processes the plan has, what comes of the others, and how the rest is named."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.core.errors import ExitCode, UnreachableError
from ops.core.evidence import Evidence, Outcome, SlotEvidence
from ops.core.protocol import Event, ProcessReport, Request, Response, Verb, encode_line
from ops.core.section import load
from ops.core.settings import Settings
from ops.core.states import State
from ops.fleet import preview
from ops.fleet.batches import in_batches
from ops.fleet.evidence import Chronicle
from ops.fleet.gates import Gates
from ops.fleet.inventory import Selection, select
from ops.fleet.observer import observer_of
from ops.fleet.outdated import lines, narrowed, only_outdated, rest_of
from ops.fleet.plan import Plan, make_plan
from ops.fleet.report import Kind, Report
from ops.fleet.report import Outcome as HostOutcome
from ops.fleet.rollout import carry_out
from ops.fleet.transport.fake import Answer, FakeTransport, Host
from ops.render.evidence import plain_lines
from ops.render.timeline import timeline

HOSTS = ("web1", "web2", "web3", "web4")


# Each run of a plan has threads of its own.
FEW, MORE = hypothesis.settings(max_examples=6, deadline=None), hypothesis.settings(max_examples=40, deadline=None)


@cache
def stage_of(hosts: int, strategy: str = "rolling", batch: int | str = 1, canary: int = 0) -> tuple[Settings, Plan]:
    """Return settings of hosts in two roles, with two processes and one, and the restart of all of it."""
    places = [{"host": host, "roles": ["karafka", "mail"]} for host in HOSTS[:hosts]]
    made = load(
        {
            "application": "a",
            "deploy_to": "/srv/a",
            "command": "run",
            "roles": {"karafka": {"processes": 2}, "mail": {"processes": 1}},
            "rollout": {"settle_seconds": 0, "strategy": strategy, "batch": batch, "canary": canary},
            "stages": {"test": {"hosts": places}},
        }
    )
    return made, make_plan(made, select(made, Selection()), Verb.RESTART)


def status(plan: Plan, reasons: Mapping[str, Mapping[str, str]]) -> Report:
    """Return what a status of the plan's hosts says, where only some answer."""
    outcomes = []
    for action in plan.actions:
        said = reasons.get(action.target.name)
        reports = tuple(
            ProcessReport(spec.name, State.RUNNING, pid=7, release="2", outdated=(said or {})[spec.name])
            for spec in (action.request.processes if said is not None else ())
        )
        kind, response = (Kind.UNREACHABLE, None) if said is None else (Kind.ANSWERED, Response(reports))
        outcomes.append(HostOutcome(action, kind, response))
    return Report(plan, tuple(outcomes))


def slots(plan: Plan) -> list[str]:
    return [f"{action.target.name} {spec.name}" for action in plan.actions for spec in action.request.processes]


REASONS = st.sampled_from(["", "", "it is stopped", "runs release 1, current is 2", "it is not known which it runs"])
ROLLOUTS = st.sampled_from(
    [("rolling", 1, 0), ("rolling", 2, 1), ("rolling", "50%", 0), ("rolling", "100%", 1), ("all", 1, 0)]
)


@MORE
@given(st.integers(1, 4), ROLLOUTS, st.data())
def test_a_plan_has_what_is_outdated_once_each_in_its_order_and_what_is_not_is_kept(
    hosts: int, rollout: tuple[str, int | str, int], data: st.DataObject
) -> None:
    # Given a plan, and a look at its hosts, of which some do not answer
    settings, plain = stage_of(hosts, *rollout)
    whole = only_outdated(plain)
    reasons = {
        action.target.name: {spec.name: data.draw(REASONS) for spec in action.request.processes}
        for action in whole.actions
        if data.draw(st.integers(0, 5))
    }
    # When it is narrowed
    plan = narrowed(settings, whole, status(whole, reasons))
    # Then it has each process that is due, or whose host is silent, in the order of before; the rest is kept
    due = [slot for slot in slots(whole) if reasons.get((part := slot.split())[0], {}).get(part[1], "silent")]
    kept = [f"{one.host} {each.name}" for one in plan.kept for each in one.processes]
    assert slots(plan) == due
    assert due + kept == sorted(due + kept, key=lambda slot: (slot in kept, slots(whole).index(slot)))
    assert sorted(due + kept) == sorted(slots(whole))
    # And each has its reason, its agent looks once more, and is given less time for fewer processes
    assert all(set(one.why) == {spec.name for spec in one.request.processes} for one in plan.actions)
    assert all(spec.only_outdated for one in plan.actions for spec in one.request.processes)
    assert all(each.kept and each.message == "already on release 2" for one in plan.kept for each in one.processes)
    before = {one.target.name: one.deadline_seconds for one in whole.actions}
    assert all(one.deadline_seconds <= before[one.target.name] for one in plan.actions)
    # And its batches are those of a restart of these hosts alone
    sizes = [len(batch) for batch in plan.batches]
    assert all(sizes)
    assert tuple(sizes) == tuple(map(len, in_batches(settings, range(sum(sizes)), rolling=rollout[0] == "rolling")))
    assert not (sizes and rollout[2]) or sizes[0] == 1
    assert rollout[0] == "rolling" or len(sizes) <= 1
    # And it can be shown, all of it
    assert json.loads(json.dumps(preview.as_json(plan)))["outdated"] is True
    text = "\n".join(preview.lines(plan))
    assert all(slot in text for slot in due)
    assert not due or all(slot not in line for slot in kept for line in lines(plan))


@dataclass
class Stage:
    """Hosts with foreign commands, whose agents do as they are told.

    Attributes
    ----------
    current : of each host.
    running : slot -> the release that its process runs; empty for none.
    fails : slots whose restart ends with an empty slot.
    orphans : slots, by host, that the settings do not have.
    """

    current: dict[str, str] = field(default_factory=lambda: dict.fromkeys(HOSTS[:3], "2"))
    running: dict[str, str] = field(default_factory=dict)
    fails: set[str] = field(default_factory=set)
    orphans: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    restarted: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    evidence: Evidence | None = None

    def __post_init__(self) -> None:
        self.settings, self.whole = stage_of(3)
        self.slots = slots(self.whole)
        self.running = {**dict.fromkeys(self.slots, "1"), **self.running}

    def restart(self, *, outdated: bool = True, reachable_only: bool = False) -> Report:
        """Restart, behind gates that go by the processes alone."""
        self.restarted, self.stopped, self.said = [], [], []
        transport = FakeTransport({host: self._agent(host) for host in HOSTS[:3]})
        everybody = make_plan(self.settings, select(self.settings, Selection()), Verb.STATUS)
        chronicle = Chronicle(Evidence("a", "test", "rolling", "ann", 7, 0.0, 0.0, Outcome.DONE, 0))
        gates = Gates(
            self.settings,
            observer_of(self.settings, transport, everybody.actions),
            lambda without: carry_out(everybody.without(without), transport, Silent()),
            None,
            chronicle,
            self.said.append,
            covers=lambda _: True,
            reachable_only=reachable_only,
        )
        plan = only_outdated(self.whole) if outdated else self.whole
        report = carry_out(plan, transport, Watching(chronicle), gates)
        self.evidence = chronicle.evidence(Outcome.DONE, int(report.exit_code))
        return report

    def _agent(self, host: str) -> Host:
        def answer(_: tuple[str, ...], data: bytes) -> Answer:
            request = Request.decode(data.decode())
            reports = tuple(self._done(host, request.verb, spec.name) for spec in request.processes)
            others = tuple(
                ProcessReport(name, State.RUNNING, pid=9, release="1")
                for where, name in self.orphans.items()
                if where == host and request.verb is Verb.STATUS
            )
            return Answer([f"{encode_line(Response(reports, others=others))}\n".encode()])

        return UnreachableError("it refuses connections", where=host) if host in self.silent else answer

    def _done(self, host: str, verb: Verb, name: str) -> ProcessReport:
        slot = f"{host} {name}"
        if verb is Verb.STOP:
            self.stopped.append(slot)
            return ProcessReport(name, State.STOPPED, message="ended after 0.0 s")
        if verb is Verb.RESTART:
            self.restarted.append(slot)
            self.running[slot] = "" if slot in self.fails else self.current[host]
            if slot in self.fails:
                return ProcessReport(name, State.STOPPED, ok=False, message="it exited with 1")
        release = self.running[slot]
        if not release:
            return ProcessReport(name, State.STOPPED, outdated="it is stopped")
        why = "" if release == self.current[host] else f"runs release {release}, current is {self.current[host]}"
        return ProcessReport(name, State.RUNNING, pid=1 + self.slots.index(slot), release=release, outdated=why)


class Silent:
    def event(self, host: str, event: Event) -> None: ...

    def finished(self, outcome: HostOutcome) -> None: ...

    def interrupted(self, hosts: tuple[str, ...]) -> None: ...


class Watching(Silent):
    def __init__(self, chronicle: Chronicle) -> None:
        self.chronicle = chronicle

    def finished(self, outcome: HostOutcome) -> None:
        self.chronicle.finished(outcome.host, outcome.batch, outcome.processes)


@FEW
@given(st.data())
def test_after_a_rollout_that_broke_off_anywhere_what_is_outdated_is_exactly_the_rest(data: st.DataObject) -> None:
    # Given a restart to another release that fails at some process
    stage = Stage()
    failing = data.draw(st.sampled_from(stage.slots))
    stage.fails = {failing}
    begun = stage.restart(outdated=False)
    first = set(stage.restarted)
    assert begun.exit_code == ExitCode.FAILED
    # When what is outdated is restarted, once the reason is gone
    stage.fails = set()
    done = stage.restart()
    # Then that is what the first one has not done, the process that it left stopped too, each once
    assert done.exit_code == 0
    assert sorted(stage.restarted) == sorted(set(stage.slots) - first | {failing})
    assert set(stage.running.values()) == {"2"}
    # And then there is nothing more to do
    assert stage.restart().exit_code == 0
    assert stage.restarted == []
    assert stage.said == ["nothing is outdated: 9 processes run what current leads to"]


@FEW
@given(st.data())
def test_each_host_has_a_current_of_its_own_and_the_report_tells_of_every_process_once(data: st.DataObject) -> None:
    # Given hosts whose current differs, and processes of any release or none
    current = {host: data.draw(st.sampled_from("123")) for host in HOSTS[:3]}
    stage = Stage(current=current)
    stage.running = {slot: data.draw(st.sampled_from(["1", "2", "3", ""])) for slot in stage.slots}
    due = [slot for slot in stage.slots if stage.running[slot] != current[slot.split()[0]]]
    # When what is outdated is restarted
    report = stage.restart()
    # Then it is that
    assert (report.exit_code, stage.restarted) == (0, due)
    # And report and evidence have every process once, and say which were left alone
    told = [(f"{one.host} {each.name}", each.kept) for one in report.outcomes for each in one.told]
    assert sorted(told) == sorted((slot, slot not in due) for slot in stage.slots)
    assert {one.host for one in report.outcomes if one.batch} == {slot.split()[0] for slot in due}
    evidence = stage.evidence
    assert evidence is not None
    assert {one.name for one in evidence.slots if one.kept} == set(stage.slots) - set(due)
    assert {one.name for one in evidence.slots if one.batch and one.ok} == set(due)
    summary = evidence.summary()
    assert (summary["slots"], summary["slots_done"], summary["slots_kept"]) == (len(due), len(due), 9 - len(due))
    assert Evidence.from_json(json.loads(json.dumps(evidence.as_json()))) == evidence


def test_what_was_left_alone_is_told_in_all_that_is_shown_of_a_rollout() -> None:
    # Given a canary that went to another release, and current that leads back
    stage = Stage(current=dict.fromkeys(HOSTS[:3], "1"))
    stage.running["web1 karafka-0"] = "2"
    # When what is outdated is restarted
    stage.restart()
    evidence = stage.evidence
    assert evidence is not None
    # Then the one is told with why, the others as what was on it, in the summary and in the picture
    assert stage.said[:2] == [
        "outdated: web1 karafka-0: runs release 2, current is 1",
        "left alone: 8 processes run what current leads to",
    ]
    assert [one.outdated for one in evidence.slots if not one.kept] == ["runs release 2, current is 1"]
    assert evidence.release == "1"
    text = plain_lines(evidence)
    assert any(line.split() == ["slots", "1", "of", "1,", "8", "already", "on", "it"] for line in text)
    assert sum(line.endswith("already on it") for line in text if line.startswith("web")) == 8
    assert timeline(evidence).count("already on release 1") >= 8


def test_slots_that_the_settings_do_not_have_are_stopped_as_by_any_restart() -> None:
    # Given a fleet of the current release, and what runs in a slot that the settings have no more
    stage = Stage(orphans={"web2": "karafka-5"})
    stage.running = dict.fromkeys(stage.slots, "2")
    # When what is outdated is restarted
    report = stage.restart()
    # Then that one is stopped, and nothing else is touched
    assert (report.exit_code, stage.restarted, stage.stopped) == (0, [], ["web2 karafka-5"])


def test_a_host_that_does_not_answer_keeps_everything_off_or_is_left_out() -> None:
    # Given a host that is silent, and one that has all of it behind it
    stage = Stage(silent={"web3"})
    stage.running |= {slot: "2" for slot in stage.slots if slot.startswith("web1")}
    # When what is outdated is restarted
    report = stage.restart()
    # Then nothing is touched, and the way on is this one
    assert (report.exit_code, stage.restarted) == (ExitCode.UNREACHABLE, [])
    assert "fab karafka.restart --outdated --reachable-only" in str(report.ended)
    # And without it the rest is done, and what was left out is told apart from what was left alone
    report = stage.restart(reachable_only=True)
    assert stage.restarted == [slot for slot in stage.slots if slot.startswith("web2")]
    assert report.exit_code == ExitCode.UNREACHABLE
    assert {one.host: one.kind for one in report.outcomes} == {
        "web1": Kind.ANSWERED, "web2": Kind.ANSWERED, "web3": Kind.UNREACHABLE,
    }  # fmt: skip


def test_what_an_agent_finds_up_to_date_when_it_is_its_turn_counts_as_left_alone() -> None:
    # Given a process that another agent has restarted since it was looked at
    chronicle = Chronicle(Evidence("a", "test", "rolling", "ann", 7, 0.0, 0.0, Outcome.DONE, 0))
    looked = ProcessReport("karafka-0", State.RUNNING, pid=1, release="1", outdated="runs release 1, current is 2")
    chronicle.expect("web1", [looked])
    # When its agent leaves it alone
    found = replace(looked, pid=2, release="2", outdated="", kept=True, message="already on release 2")
    chronicle.finished("web1", 1, [found])
    # Then nothing was done to it in this rollout
    slot = chronicle.evidence(Outcome.DONE, 0).slots[0]
    assert (slot.kept, slot.batch, slot.release, slot.ok) == (True, 0, "2", True)


DONE = SlotEvidence("web1", "karafka-0", batch=1, outdated="runs release 1, current is 2")
NEXT = SlotEvidence("web2", "karafka-0", outdated="runs release 1, current is 2")
SAME = SlotEvidence("web2", "karafka-0")
KEPT = SlotEvidence("web3", "karafka-0", kept=True)


@pytest.mark.parametrize(
    ("found", "options", "command"),
    [
        ((DONE, NEXT, KEPT), (), "fab test karafka.restart --outdated"),
        (
            (DONE, NEXT),
            ("web1,web2", "mail", None),
            "fab test karafka.restart --outdated --hosts web1,web2 --roles mail",
        ),
        ((replace(DONE, ok=False), NEXT), (), "fab test karafka.restart --outdated"),
        ((DONE, SAME), (), "fab test karafka.restart --hosts web2"),  # of one release: they are told by their hosts
        (
            (replace(DONE, ok=False), SAME),
            (None, "mail", None),
            "fab test karafka.restart --hosts web1,web2 --roles mail",
        ),
        ((DONE, KEPT), (), ""),
        ((NEXT, NEXT), (), ""),  # nothing was begun
        ((), (), ""),
    ],
)
def test_the_command_for_the_rest_names_exactly_the_rest(
    found: tuple[SlotEvidence, ...], options: tuple[str | None, ...], command: str
) -> None:
    # Given the evidence of a restart that was broken off
    evidence = Evidence("a", "test", "rolling", "ann", 7, 0.0, 0.0, Outcome.FAILED, 1, slots=found)
    # Then the command that goes on is for what is left, within what was chosen
    assert rest_of(evidence, *options) == command
