"""Looks at the fleet: its processes by their hosts' agents, their groups through one of the hosts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ops.core.cluster import Group
from ops.core.dead_letters import letter_topics
from ops.core.errors import UnreachableError
from ops.core.protocol import ProcessReport, ProcessSpec, Verb
from ops.core.settings import Settings
from ops.core.sight import HostReport
from ops.core.survey import Survey, Surveyor
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import Plan, instance_id, make_plan, process_specs
from ops.fleet.report import Kind, Outcome, Report
from ops.fleet.rollout import Watcher, carry_out
from ops.fleet.transport import Transport

if TYPE_CHECKING:
    from ops.core.asking import Answer, Ask

_BROKER_SECONDS = 5.0
_MOST_HOSTS = 2  # a cluster that they cannot ask is down for the others, too: a status must not take minutes


class FleetLook:
    """Looks at a plan's processes, and at their groups where they are known.

    Parameters
    ----------
    plan : of a status.
    quiet : is told of each look.
    first : is told of the first one in its place.

    Attributes
    ----------
    report : of the last look at the processes.
    surveyor : looks.
    """

    def __init__(
        self, settings: Settings, plan: Plan, transport: Transport, quiet: Watcher, first: Watcher | None = None
    ) -> None:
        self.report: Report | None = None
        self.surveyor = Surveyor(self._processes, self._clusters)
        self._settings = settings
        self._plan = plan
        self._transport = transport
        self._quiet = quiet
        self._first = first

    def _processes(self) -> list[HostReport]:
        """Ask the hosts.

        Raises
        ------
        KeyboardInterrupt : it came while they were asked.
        """
        self.report = carry_out(self._plan, self._transport, self._first or self._quiet)
        self._first = None
        if self.report.interrupted:
            raise KeyboardInterrupt
        return host_reports(self._settings, self.report.outcomes)

    def _clusters(self, names: tuple[str, ...]) -> tuple[Sequence[Group], Mapping[str, int | None]]:
        from ops.core.asking import Ask

        outcomes = self.report.outcomes if self.report is not None else ()
        topics = letter_topics(one for outcome in outcomes for one in outcome.processes)
        found = ask_cluster(self._settings, self._transport, Ask.GROUPS, names, outcomes, tuple(topics))
        return found.groups, found.letters


def ask_cluster(
    settings: Settings,
    transport: Transport,
    ask: Ask,
    names: tuple[str, ...],
    outcomes: Sequence[Outcome],
    letters: tuple[str, ...] = (),
) -> Answer:
    """Ask for groups the way the settings name: through the first host of the stage that can, or from here.

    Parameters
    ----------
    outcomes : of a look just taken: hosts that answered are asked first, then those that were not; no others, and two
        at most.
    letters : dead-letter topics to be counted.

    Raises
    ------
    UnreachableError : nobody can ask the cluster.
    """
    from ops.core.asking import Question  # not for a status without groups, which should start fast
    from ops.fleet.observer import observer_of

    kinds = {one.host: one.kind for one in outcomes}
    order: dict[Kind | None, int] = {Kind.ANSWERED: 0, None: 1}
    actions = make_plan(settings, select(settings, Selection()), Verb.STATUS).actions
    hosts = sorted(actions, key=lambda one: order.get(kinds.get(one.target.name), 2))
    able = tuple(one for one in hosts if kinds.get(one.target.name) in order)[:_MOST_HOSTS]
    if settings.kafka.observe_from == "operator":
        able = actions
    if not able:
        raise UnreachableError("no host answered through which it could be asked")
    brokers = ",".join(settings.kafka.brokers)
    question = Question(ask, names, brokers, timeout_seconds=_BROKER_SECONDS, letters=letters)
    return observer_of(settings, transport, able).ask(question)


def host_reports(settings: Settings, outcomes: Iterable[Outcome]) -> list[HostReport]:
    """Put what hosts said beside what the settings say, also of the hosts that were not asked."""
    found = {one.host: one for one in outcomes}
    reports = []
    for host in settings.hosts:
        outcome = found.get(host.host)
        response = outcome.response if outcome is not None else None
        others = outcome.others if outcome is not None else ()
        reports.append(
            host_report(
                settings,
                host.host,
                process_specs(settings, host),
                outcome.processes if outcome is not None else (),
                response.current if response is not None else "",
                reachable=response is not None and not response.error,
                others=others,
                addresses=response.addresses if response is not None else (),
            )
        )
    return reports


def host_report(
    settings: Settings,
    host: str,
    specs: Iterable[ProcessSpec],
    reports: tuple[ProcessReport, ...],
    current: str,
    *,
    reachable: bool,
    others: tuple[ProcessReport, ...] = (),
    addresses: tuple[str, ...] = (),
) -> HostReport:
    """Put what one host said beside what the settings say of it.

    Parameters
    ----------
    specs : of all its slots, also those that were not asked about.
    current : the release that it would start.
    others : what lives in slots that the settings do not have.
    addresses : of the host; none where nobody knows.
    """
    specs = tuple(specs)
    own = settings.app is not None
    given = {spec.name: spec.env.get("KARAFKA_INSTANCE_ID", "") for spec in specs}
    given |= {one.name: instance_id(settings, host, one.name) for one in others}
    return HostReport(
        host,
        (*reports, *others),
        {name: (given_id or None) if own else None for name, given_id in given.items()},
        {spec.name: _groups_of(settings, spec) for spec in specs},
        current,
        reachable,
        superfluous=frozenset(one.name for one in others),
        given_ids=given,
        addresses=addresses,
    )


def with_survey(data: dict[str, Any], survey: Survey) -> dict[str, Any]:
    """Add to a report's JSON data what the cluster says."""
    for host in data["hosts"]:
        host["processes"] = [with_row(survey, host["host"], process) for process in host["processes"]]
    return {**data, **remarks_data(survey)}


def with_row(survey: Survey, host: str, process: dict[str, Any]) -> dict[str, Any]:
    """Add to a process's JSON data what the cluster says of it."""
    row = survey.row(host, process["name"])
    return {**process, **(row.as_json() if row is not None else {"places": [], "zombies": []})}


def remarks_data(survey: Survey) -> dict[str, Any]:
    """Give what is remarkable as JSON data."""
    remarks = [
        {"zombie": str(one.zombie), "group": one.group, "host": one.host, "process": one.process, "text": one.text}
        | ({"member": one.member} if one.member else {})
        for one in survey.observation.remarks
    ]
    letters = [{"topic": one.topic, "groups": list(one.groups), "count": one.count} for one in survey.letters]
    return {
        "remarks": remarks,
        "dead_letters": letters,
        **({"cluster_error": survey.cluster_error} if survey.cluster_error else {}),
    }


def _groups_of(settings: Settings, spec: ProcessSpec) -> tuple[str, ...]:
    """Give the groups that the settings name for a process."""
    if settings.kafka.groups or settings.app is None:
        return settings.kafka.groups
    return tuple(name for name in spec.env.get("KARAFKA_GROUPS", "").split(",") if name)
