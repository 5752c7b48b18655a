"""The gates of one restart: the preflight before anything is touched, and a gate after each batch."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from ops.core.asking import Ask, Question
from ops.core.deadline import Deadline
from ops.core.errors import GateRefusedError, OpsError
from ops.core.gate import Terms, down, generations
from ops.core.records import replace
from ops.core.residence import way_out, what_is_shared
from ops.core.settings import Settings
from ops.core.slot import Slot
from ops.core.verdict import Cause, Judgement, Reason, Verdict, judged
from ops.fleet import outdated
from ops.fleet.answering import answering
from ops.fleet.evidence import Chronicle
from ops.fleet.observer import Observer
from ops.fleet.plan import Plan
from ops.fleet.release_topics import ReleaseTopics, changing, leaving, missing_topics
from ops.fleet.report import Outcome, Report
from ops.fleet.roll_call import RollCall
from ops.fleet.waiting import Waiting

_PREFLIGHT_SECONDS = 5.0
# How long the first questions of a gate wait, so that a process that ends meanwhile is soon seen for what it is; the
# next one waits for all the time there is, as a message may be in work for long.
_ROUNDS_SECONDS = (10.0, 20.0)
_LOOK_SECONDS = 2.0  # between two looks at a batch that has to prove itself for longer


class Gates:
    """Judges the stage's groups around the batches of a restart.

    Parameters
    ----------
    look : takes a status of all processes of the stage, but for those of some hosts.
    read : asks the release that is to be started what it reads; None where it cannot be asked.
    chronicle : is told what is seen.
    say : is told what passes, in words.
    covers : whether a slot that the settings do not have (any more) is stopped.
    force : the reason to go on against the preflight; empty for none.
    reachable_only : whether hosts that do not answer before anything is touched are left out.
    """

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        look: Callable[[frozenset[str]], Report],
        read: Callable[[Plan], ReleaseTopics] | None,
        chronicle: Chronicle,
        say: Callable[[str], None],
        *,
        covers: Callable[[Slot], bool],
        force: str = "",
        reachable_only: bool = False,
    ) -> None:
        self._settings = settings
        self._observer = observer
        self._look = look
        self._read = read
        self._chronicle = chronicle
        self._say = say
        self._covers = covers
        self._force = force
        self._reachable_only = reachable_only
        self._silent: frozenset[str] = frozenset()
        self._call = RollCall(settings)
        self._terms = Terms(())
        self._waiting = Waiting("the preflight", say)
        self._last = 0
        self._blind = False
        self._began = False

    def preflight(self, plan: Plan) -> Plan:
        """Look before anything is touched.

        Gives the plan with the stop of what is superfluous, and with slots that leave their groups at the takeover
        where the release reads other topics; without the hosts that do not answer, where they may be left out; of a
        restart of what is outdated, without what is not.

        Raises
        ------
        UnreachableError : a host of the plan does not answer.
        GateRefusedError : the groups are not fit for it, or nobody can tell, and nothing is forced; or two hosts share
            a folder.
        """
        report = self._status()
        self._look_who_lives_where(report)
        plan = answering(plan, report, self._say, leave_out=self._reachable_only)
        self._silent = frozenset(outcome.host for outcome in report.outcomes if outcome.response is None)
        able = tuple(one for one in self._observer.hosts if one.target.name not in self._silent)
        self._observer = replace(self._observer, hosts=able or self._observer.hosts)
        self._call.first(report, plan)
        superfluous = self._call.superfluous(plan, self._covers)
        beside = self._call.left_alone(plan)
        plan = self._narrowed(plan, report)
        for action in plan.actions:
            names = {spec.name for spec in action.request.processes}
            host = action.target.name
            self._chronicle.expect(host, [one for one in self._call.reports(host) if one.name in names])
        for kept in plan.kept:
            self._chronicle.expect(kept.host, kept.processes)
        if not plan.batches and not superfluous:
            return plan
        self._require_startable(plan)
        processes = self._call.present()
        call, limit = self._call, self._settings.rollout.max_lag
        self._terms = Terms(processes, max_lag=limit, absent=call.absent(), ended=call.ended(), unseen=call.unseen())
        self._chronicle.generations(generations(processes))
        if self._terms.groups:
            plan = self._ask_whether_fit(plan)
        self._last = len(plan.batches)
        for action in superfluous:
            names, host = {spec.name for spec in action.request.processes}, action.target.name
            going = [one for one in self._call.beside(host) if one.name in names]
            self._chronicle.expect(host, going, superfluous=True)
        for one in beside:
            text = f"{one.name} runs, and the settings have no such slot: left alone, it is not of what was chosen"
            self._say(f"{text}; fab karafka.restart --hosts {one.host} ends it")
            self._chronicle.note(text)
        return replace(plan, superfluous=superfluous)

    def _narrowed(self, plan: Plan, report: Report) -> Plan:
        """Leave alone what runs the release already, where that was asked for."""
        if not plan.outdated:
            return plan
        plan = outdated.narrowed(self._settings, plan, report)
        for line in outdated.lines(plan) if plan.batches else (outdated.nothing_to_do(plan),):
            self._say(line)
        return plan

    def _require_startable(self, plan: Plan) -> None:
        """See that every process of the plan could be started, on all its hosts, before the first one is stopped.

        Raises
        ------
        GateRefusedError : one could not.
        """
        reasons = [
            Reason(Cause.COMMAND, "", f"{action.target.name} {one.name}: {one.unstartable}", one.name)
            for action in plan.actions
            for one in self._call.reports(action.target.name)
            if one.unstartable and one.name in {spec.name for spec in action.request.processes}
        ]
        if reasons:
            self._conclude("the preflight", judged(reasons, frozenset(), 0.0, waiting=False))

    def after(self, number: int, outcomes: Sequence[Outcome]) -> None:
        """Wait after a batch until the groups work with the new processes.

        Raises
        ------
        GateRefusedError : they don't within the time for it, or nobody can tell.
        """
        name = f"the gate after batch {number}" if number else "the gate after scaling down"
        if number:
            self._call.restarted(outcomes)
        else:
            self._leave()
        if number == self._last:
            self._terms = replace(self._terms, changing={})
        settle = Deadline(0.0 if self._began or not number else self._settings.rollout.settle_seconds)
        self._began = self._began or number > 0
        began = time.monotonic()
        busy = frozenset(outcome.host for outcome in outcomes)
        self._until_passed(name, busy, settle)
        self._chronicle.generations(generations(self._terms.processes))
        self._say(f"{name} passed after {time.monotonic() - began:.1f} s")

    def _until_passed(self, name: str, busy: frozenset[str], settle: Deadline) -> None:
        began = time.monotonic()
        deadline = Deadline(self._settings.rollout.gate_timeout_seconds + settle.seconds)
        rounds = iter(_ROUNDS_SECONDS)
        self._waiting = Waiting(name, self._say)
        while True:
            self._terms = replace(self._terms, processes=self._call.expected(self._status()))
            left = deadline.remaining
            seconds = min(next(rounds, left), left)
            judgement = self._judge(seconds, busy, more=seconds < left)
            if judgement.verdict is Verdict.WAITING and not deadline.expired:
                continue  # with a newer look at the processes themselves
            if judgement.verdict is Verdict.PASSED and not settle.expired:
                self._waiting.settles(settle.remaining)
                time.sleep(min(_LOOK_SECONDS, settle.remaining))
                rounds = iter(_ROUNDS_SECONDS)
                continue
            self._conclude(name, replace(judgement, elapsed_seconds=time.monotonic() - began))
            return

    def _conclude(self, name: str, judgement: Judgement) -> None:
        """Write a verdict down, and go on if it is passed."""
        self._chronicle.verdict(name.removeprefix("the "), judgement)
        judgement.require(name)

    def _judge(self, seconds: float, busy: frozenset[str], *, more: bool) -> Judgement:
        """Judge once: by the cluster, or where nobody can ask it or no group is known, by the processes alone."""
        if self._terms.groups and not self._blind:
            return self._ask(Ask.GATE, seconds, busy, more=more)
        reasons = down(self._terms.processes)
        return judged(reasons, frozenset(self._terms.accepted), 0.0, waiting=False)

    def _ask_whether_fit(self, plan: Plan) -> Plan:
        for name in missing_topics(self._settings, self._observer) if plan.batches else ():
            self._say(f"topic {name} is not on the cluster, and kafka.topics names it: inv topics.apply makes it")
        topics = self._release_topics(plan)
        self._terms = topics.expected(self._terms)
        judgement = self._ask(Ask.PREFLIGHT, _PREFLIGHT_SECONDS)
        changes = topics.changes(self._terms, self._terms.before, plan)
        if changes:
            self._terms = replace(self._terms, changing=changing(changes))
            if judgement.causes == {Cause.UNOWNED}:  # what a rollout that was broken off has left is mended by this one
                judgement = self._ask(Ask.PREFLIGHT, _PREFLIGHT_SECONDS)
        if judgement.verdict is not Verdict.PASSED and self._force:
            self._overrule(judgement)
        else:
            self._conclude("the preflight", judgement)
            self._say(f"preflight passed: {', '.join(self._terms.groups)}")
        for change in changes:
            self._say(str(change))
            self._chronicle.plan_rebalance(change.group, str(change), len(change.remove))
        return leaving(plan, changes)

    def _release_topics(self, plan: Plan) -> ReleaseTopics:
        if self._read is None or not plan.batches:
            return ReleaseTopics({})
        try:
            return self._read(plan)
        except OpsError as error:
            self._say(f"what the release reads is not known: {str(error).splitlines()[0]}")
            return ReleaseTopics({})

    def _ask(self, ask: Ask, seconds: float, busy: frozenset[str] = frozenset(), *, more: bool = False) -> Judgement:
        """Ask the cluster; where there is `more` time than `seconds`, what has not passed by then may pass later."""
        brokers = ",".join(self._settings.kafka.brokers)
        question = Question(ask, brokers=brokers, deadline_seconds=seconds, terms=self._terms)
        judgement, answer = self._observer.judge(question, busy, self._waiting.hear)
        if more and _may_still_pass(judgement):
            judgement = replace(judgement, verdict=Verdict.WAITING)
        self._chronicle.look(answer.groups)
        if ask is Ask.PREFLIGHT:
            self._terms = replace(self._terms, before=answer.groups)
        return judgement

    def _overrule(self, judgement: Judgement) -> None:
        self._chronicle.verdict("preflight", judgement)
        self._blind = judgement.verdict is Verdict.UNKNOWN
        self._terms = replace(self._terms, accepted=tuple(sorted(judgement.causes)))
        self._say(f"the preflight is overruled ({self._force}):")
        for reason in judgement.reasons:
            self._say(f"  - {reason}")
        if self._blind:
            self._say("  nobody can ask the cluster: readiness alone counts between batches")

    def _leave(self) -> None:
        """Remove what was superfluous from its groups, so that no partition waits for the end of its session."""
        for group, gone in self._call.leaving().items():
            names = ", ".join(one.name for one in gone)
            self._chronicle.plan_rebalance(group, f"group {group}: {names} left it, the settings have no such slot")
            question = Question(
                Ask.REMOVE_MEMBERS,
                (group,),
                brokers=",".join(self._settings.kafka.brokers),
                instances=tuple(one.instance_id for one in gone if one.instance_id),
            )
            try:
                self._observer.ask(question)
            except OpsError as error:
                self._say(f"group {group} keeps the place of {names} until its session ends: {error}")

    def _look_who_lives_where(self, report: Report) -> None:
        """Make sure that each host has a folder of its own; its agent would refuse, when others are through."""
        for outcome in report.outcomes:
            other = outcome.response.resident if outcome.response else ""
            if other not in ("", outcome.host):
                folder = str(PurePosixPath(outcome.action.request.shared).parent)
                raise GateRefusedError(
                    what_is_shared(folder, other, outcome.host), where=outcome.host, hint=way_out(other, outcome.host)
                )

    def _status(self) -> Report:
        report = self._look(self._silent)
        if report.interrupted:
            raise KeyboardInterrupt
        return report


def _may_still_pass(judgement: Judgement) -> bool:
    """Whether a question ended because its time was over; that no host can ask (at once) waits for nothing."""
    refused = judgement.verdict is Verdict.REFUSED and not judgement.final
    return refused or (judgement.verdict is Verdict.UNKNOWN and judgement.elapsed_seconds > 0)
