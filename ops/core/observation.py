"""Process, member, partitions and lag joined: one row a process, and what does not fit together (zombies)."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from ops.core.advance import complaint, seconds_apart, stuck, suspicious
from ops.core.cluster import STABLE, Group, Member, Partition, Progress, missing_text
from ops.core.crowd import Crowd, names_text
from ops.core.membership import Muster, muster
from ops.core.protocol import ProcessReport
from ops.core.sight import HostReport, Observation, Place, Remark, Row, Suspect, Zombie
from ops.core.standing import Process
from ops.core.states import ALIVE, GONE, State

JOINING_SECONDS = 10.0  # a process as young as that may still be on its way into its group


def observe(
    hosts: Sequence[HostReport],
    groups: Sequence[Group],
    *,
    topics: Mapping[str, Collection[str]] | None = None,
    earlier: Sequence[Group] = (),
    apart_seconds: float = math.inf,
) -> Observation:
    """Join what hosts and cluster say.

    Parameters
    ----------
    hosts : all of the inventory: those that were not asked or did not answer too, so that their members are explained.
    groups : as the cluster shows them now; none where it could not be asked.
    topics : of each group's routes; else what the processes' own members subscribe to.
    earlier : the same groups a while ago; without it, a process that makes no progress is known by its own record
        alone.
    apart_seconds : how long ago that was.
    """
    processes = {(host.host, name): one for host in hosts for name, one in _processes(host).items()}
    musters = {
        group.name: muster(
            group,
            [one for one in processes.values() if group.name in one.groups or not one.groups],
            (topics or {}).get(group.name, ()),
        )
        for group in groups
    }
    past = {group.name: {one.partition: one for one in group.progress} for group in earlier}
    rows: list[Row] = []
    remarks: list[Remark] = []
    suspects: list[Suspect] = []
    for host in hosts:
        for report in host.reports:
            look = _Look(host, report, processes[host.host, report.name], past, apart_seconds)
            for group in groups:
                look.at(group, musters[group.name])
            rows.append(look.row)
            remarks += look.remarks
            suspects += look.suspects
    for group in groups:
        remarks += [Remark(Zombie.NO_TOPIC, group.name, missing_text(group.name, topic)) for topic in group.missing]
        remarks += _unexplained(group, musters[group.name], hosts, processes)
        for crowd in musters[group.name].crowds:
            found = _crowd(group, crowd, past.get(group.name, {}), apart_seconds)
            remarks += found[0]
            suspects += found[1]
    return Observation(tuple(rows), tuple(remarks), tuple(suspects))


def _processes(host: HostReport) -> dict[str, Process]:
    """Give every slot of a host as a process, those without a report too."""
    found = {}
    for report in host.reports:
        own = host.groups.get(report.name, ())
        found[report.name] = Process.of(
            host.host,
            report,
            host.instance_ids.get(report.name),
            own,
            given_id=host.given_ids.get(report.name, ""),
            addresses=host.addresses,
        )
    for name, instance_id in host.instance_ids.items():
        if name not in found:
            state = State.UNKNOWN
            given_id = host.given_ids.get(name, "")
            addresses = host.addresses or None
            found[name] = Process(
                f"{host.host} {name}", instance_id, host.groups.get(name, ()), state, given_id=given_id,
                addresses=addresses,
            )  # fmt: skip
    return found


class _Look:
    """One process, looked at in each of its groups."""

    def __init__(
        self,
        host: HostReport,
        report: ProcessReport,
        process: Process,
        past: Mapping[str, Mapping[Partition, Progress]],
        apart_seconds: float,
    ) -> None:
        self.remarks: list[Remark] = []
        self.suspects: list[Suspect] = []
        self._report, self._process, self._host = report, process, host.host
        self._past, self._apart = past, apart_seconds
        self._places: list[Place] = []
        if report.state in ALIVE and host.current_release and report.release not in ("", host.current_release):
            self._remark(Zombie.OLD_RELEASE, "", f"runs release {report.release}, current is {host.current_release}")
        if report.name in host.superfluous:
            self._remark(Zombie.SUPERFLUOUS, "", "runs, and the settings have no such slot: a restart ends it")
        if report.state is State.RUNNING and report.frozen:
            self._remark(Zombie.NO_PROGRESS, "", "makes no progress while it is frozen")

    @property
    def row(self) -> Row:
        """What was seen."""
        zombies = tuple(dict.fromkeys(one.zombie for one in self.remarks))
        process = self._process
        return Row(self._host, self._report, process.instance_id, process.groups, tuple(self._places), zombies)

    def at(self, group: Group, found: Muster) -> None:
        """Look at it in one group."""
        process, report = self._process, self._report
        member = found.present.get(process.name)
        if member is None and found.crowd_of(process.name) is not None:
            self._places.append(Place(group.name, group.state, None, None, None, None, untold=True))
            return
        if group.name not in process.groups and member is None:
            return
        self._places.append(_place(group, process, member))
        if report.state is not State.RUNNING:
            return
        if member is None:
            if not _is_young(process):
                text = f"runs, and group {group.name} ({group.state}) does not have it"
                self._remark(Zombie.NOT_IN_GROUP, group.name, text)
            return
        if report.frozen:
            return  # which is said once, and is why it commits nothing
        apart = seconds_apart(process, group.name)
        past = self._past.get(group.name, {})
        compared = self._apart >= apart and bool(past)
        trouble = complaint(process, group.name)
        if not trouble and compared:
            trouble = stuck(process, member, group, past)
        if trouble:
            self._remark(Zombie.NO_PROGRESS, group.name, trouble)
        elif not compared and suspicious(process, member, group, past):
            self.suspects.append(Suspect(group.name, self._host, report.name, apart))

    def _remark(self, zombie: Zombie, group: str, text: str) -> None:
        text = f"{self._process.name}: {text}"
        self.remarks.append(Remark(zombie, group, text, self._host, self._report.name))


def _is_young(process: Process) -> bool:
    return process.uptime_seconds is not None and process.uptime_seconds < JOINING_SECONDS


def _crowd(
    group: Group, crowd: Crowd, past: Mapping[Partition, Progress], apart_seconds: float
) -> tuple[list[Remark], list[Suspect]]:
    """Look at what cannot be told apart: the group is blamed, and no process."""
    remarks: list[Remark] = []
    suspects: list[Suspect] = []
    known = [one for one in crowd.processes if one.state is State.RUNNING and not _is_young(one)]
    count = crowd.absent - (len(crowd.processes) - len(known))
    if count > 0:
        text = f"group {group.name} ({group.state}): {crowd.absent_text(count)}"
        remarks.append(Remark(Zombie.NOT_IN_GROUP, group.name, text))
    if crowd.surplus > len(crowd.ended):
        remarks.append(Remark(Zombie.UNEXPLAINED, group.name, f"group {group.name}: {crowd.surplus_text()}"))
    elif crowd.surplus:
        text = f"group {group.name}: {crowd.left_text()}"
        remarks.append(Remark(Zombie.UNEXPLAINED, group.name, text))
    if len(known) < len(crowd.processes) or not known:
        return remarks, suspects  # whose members may be those of hosts that were not asked
    for member in crowd.members:
        apart = seconds_apart(known[0], group.name)
        compared = apart_seconds >= apart and bool(past)
        if compared and (trouble := stuck(known[0], member, group, past)):
            text = f"{trouble}; it is one of {names_text(one.name for one in known)}"
            remarks.append(Remark(Zombie.NO_PROGRESS, group.name, text, member=member.id))
        elif not compared and suspicious(known[0], member, group, past):
            suspects.append(Suspect(group.name, "", "", apart, member.id))
    return remarks, suspects


def _place(group: Group, process: Process, member: Member | None) -> Place:
    standing = process.standings.get(group.name)
    generation = None if standing is None else standing.generation
    if member is None:
        return Place(group.name, group.state, None, generation, (), None)
    if not member.partitions and group.state != STABLE:
        return Place(group.name, group.state, member.id, generation, None, None)
    progress = {one.partition: one for one in group.progress}
    lags = [progress[one].lag if one in progress else None for one in member.partitions]
    if set(member.topics) & set(group.missing):
        lags.append(None)  # what waits in a topic that is not there, nobody knows
    lag = None if None in lags else sum(one for one in lags if one is not None)
    return Place(group.name, group.state, member.id, generation, member.partitions, lag)


def _unexplained(
    group: Group, found: Muster, hosts: Sequence[HostReport], processes: Mapping[tuple[str, str], Process]
) -> list[Remark]:
    """Give the members that nobody is, and those whose process has ended."""
    texts = [f"{member} is no process of this application" for member in found.strangers]
    reachable = {host.host for host in hosts if host.reachable}
    for (host, _name), process in processes.items():
        member = found.present.get(process.name)
        if member is None or host not in reachable or process.state not in GONE:
            continue
        if process.state is State.STOPPED and member.instance_id is not None:
            continue  # a static member that closes keeps its place until its session ends
        texts.append(f"{member} is still there, {process.name} is {process.state}")
    for (host, name), process in processes.items() if group.state == STABLE else ():
        standing, member = process.standings.get(group.name), found.present.get(process.name)
        if standing is None or member is None or process.state not in ALIVE or not standing.joined:
            continue
        if member.id != standing.member_id:
            texts.append(f"{member} is not {host} {name}, which says it is the member {standing.member_id}")
    return [Remark(Zombie.UNEXPLAINED, group.name, f"group {group.name}: {text}") for text in texts]
