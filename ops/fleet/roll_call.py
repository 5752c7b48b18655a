"""Who is to be there: the processes of a stage before a restart, during it, and those it need not have any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ops.core.errors import OpsError
from ops.core.handover import CAPABLE, HANDOVER
from ops.core.protocol import ProcessReport, ProcessSpec
from ops.core.records import replace
from ops.core.settings import Settings
from ops.core.slot import Slot
from ops.core.standing import Process
from ops.core.states import ALIVE, GONE
from ops.fleet.plan import HostAction, Plan, instance_id, stop_of
from ops.fleet.report import Outcome, Report


class RollCall:
    """Knows which processes are expected, look after look.

    Attributes
    ----------
    given_up : hosts that failed and without which the rollout went on.
    """

    def __init__(self, settings: Settings) -> None:
        self.given_up: set[str] = set()
        self._settings = settings
        self._hosts = {host.host: host for host in settings.hosts}
        self._report: Report | None = None
        self._first: dict[str, Process] = {}
        self._others: dict[str, Process] = {}
        self._leaving: tuple[Process, ...] = ()
        self._restarted: set[str] = set()

    def first(self, report: Report, plan: Plan) -> None:
        """Take in a status of the whole stage, before the plan is carried out.

        Raises
        ------
        OpsError : a host names a slot beside its own whose member is another host's.
        """
        self._report = report
        pauses = {
            f"{action.target.name} {spec.name}": spec for action in plan.actions for spec in action.request.processes
        }
        for _, each, process in self._all(report):
            spec = pauses.get(process.name)
            paused = process if spec is None else replace(process, pause_seconds=_pause_seconds(spec, each))
            self._first[paused.name] = paused
        own = {one.instance_id for one in self._first.values()}
        for outcome in report.outcomes:
            for each in outcome.others:
                member = instance_id(self._settings, outcome.host, each.name)
                if member in own:  # a host's word for a slot must not be another host's member
                    raise OpsError(f"{each.name} would be another host's member {member}", where=outcome.host)
                other = self._process(outcome, each, member)
                self._others[other.name] = other

    def reports(self, host: str) -> tuple[ProcessReport, ...]:
        """Give a host's processes as they were at first."""
        outcomes = self._report.outcomes if self._report else ()
        return tuple(one for outcome in outcomes if outcome.host == host for one in outcome.processes)

    def present(self) -> tuple[Process, ...]:
        """Give those of the stage's processes that lived at first, superfluous ones too."""
        own = tuple(one for one in self._first.values() if one.state in ALIVE)
        return (*own, *self._others.values())

    def absent(self) -> tuple[str, ...]:
        """Give the instance ids of the stage's own static processes that did not live at first, or may not have."""
        missing = (one for one in self._first.values() if one.state not in ALIVE)
        return tuple(one.instance_id for one in missing if one.instance_id is not None)

    def unseen(self) -> int:
        """Give how many foreign processes of the stage are on hosts that did not answer at first."""
        outcomes = self._report.outcomes if self._report else ()
        silent = [one for outcome in outcomes if outcome.response is None for one in outcome.processes]
        return 0 if self._settings.app is not None else len(silent)

    def ended(self) -> tuple[Process, ...]:
        """Give the stage's own foreign processes that did not live at first: they may have left members."""
        return tuple(one for one in self._first.values() if one.state in GONE and one.foreign and not one.instance_id)

    def beside(self, host: str) -> tuple[ProcessReport, ...]:
        """Give what lived on a host in slots that the settings do not have."""
        outcomes = self._report.outcomes if self._report else ()
        return tuple(one for outcome in outcomes if outcome.host == host for one in outcome.others)

    def superfluous(self, plan: Plan, covers: Callable[[Slot], bool]) -> tuple[HostAction, ...]:
        """Plan the stop of what runs in slots that the settings do not have any more, on the plan's hosts.

        Parameters
        ----------
        covers : whether the command is for such a slot.
        """
        fence = plan.actions[0].request.fence
        found = []
        for name in dict.fromkeys(action.target.name for action in plan.actions):
            slots = [slot for one in self._others if one.startswith(f"{name} ") and covers(slot := _slot(one))]
            if slots:
                action = stop_of(self._settings, self._hosts[name], slots)
                found.append(replace(action, request=replace(action.request, fence=fence)))
        stopped = {f"{action.target.name} {spec.name}" for action in found for spec in action.request.processes}
        self._leaving = tuple(one for one in self._others.values() if one.name in stopped)
        return tuple(found)

    def left_alone(self, plan: Plan) -> list[Process]:
        """Give what runs beside the settings on the plan's hosts, and is not stopped."""
        hosts, going = {action.target.name for action in plan.actions}, {one.name for one in self._leaving}
        return [one for one in self._others.values() if one.host in hosts and one.name not in going]

    def leaving(self) -> dict[str, list[Process]]:
        """Give the superfluous static members by group."""
        found: dict[str, list[Process]] = {}
        for one in self._leaving:
            for group in one.groups if one.instance_id else ():
                found.setdefault(group, []).append(one)
        return found

    def restarted(self, outcomes: Sequence[Outcome]) -> None:
        """Note a batch that has been carried out."""
        self._restarted |= {outcome.host for outcome in outcomes}
        self.given_up |= {outcome.host for outcome in outcomes if not outcome.ok}

    def expected(self, report: Report) -> tuple[Process, ...]:
        """Give the processes that are to be running by now, with the groups they had or have, as a status has them."""
        found = []
        for host, _, one in self._all(report):
            before = self._first.get(one.name)
            was_alive = before is not None and before.state in ALIVE
            if was_alive or host in self._restarted:
                groups = set(one.groups) | set(before.groups if before is not None and was_alive else ())
                lost = host in self.given_up and one.state not in ALIVE
                new = before is None or one.pid != before.pid
                found.append(replace(one, groups=tuple(sorted(groups)), given_up=lost, replaced=new))
        gone = {one.name for one in self._leaving}
        return (*found, *(one for name, one in self._others.items() if name not in gone))

    def _all(self, report: Report) -> Iterator[tuple[str, ProcessReport, Process]]:
        for outcome in report.outcomes:
            ids = {spec.name: spec.env.get("KARAFKA_INSTANCE_ID") for spec in outcome.action.request.processes}
            for one in outcome.processes:
                yield outcome.host, one, self._process(outcome, one, ids.get(one.name))

    def _process(self, outcome: Outcome, report: ProcessReport, instance_id: str | None) -> Process:
        return Process.of(
            outcome.host,
            report,
            instance_id if self._settings.app is not None else None,
            self._settings.kafka.groups,
            given_id=instance_id or "",
            addresses=outcome.response.addresses if outcome.response is not None else (),
        )


def _slot(name: str) -> Slot:
    return Slot.parse(name.split()[1])


def _pause_seconds(spec: ProcessSpec, report: ProcessReport) -> float:
    """Bound how long the place of a process is empty while it is restarted.

    A warm replacement joins at once, and is given the time of a start; else a process that has stopped beating may take
    all the time of a stop before the start begins.
    """
    warm = spec.standby == "auto" and (report.consumer or {}).get(CAPABLE) == HANDOVER
    return spec.start_timeout_seconds + (0.0 if warm else spec.stop_timeout_seconds)
