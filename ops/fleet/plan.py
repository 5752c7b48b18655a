"""Plans: what a command will do, as data. Nothing here does anything; `ops.fleet.rollout` carries a plan out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import PurePosixPath

from ops.core.errors import SettingsError
from ops.core.handover import PREPARE_SECONDS
from ops.core.keeping import PIDFILE, Keeping
from ops.core.lease import Fence
from ops.core.protocol import ASKING, ROLLING, LogCall, ProcessReport, ProcessSpec, Request, Verb
from ops.core.records import dataclass, field, replace
from ops.core.settings import Host, Settings
from ops.core.slot import Roster, Slot, SlotFiles
from ops.fleet.agent_command import agent_command
from ops.fleet.batches import in_batches
from ops.fleet.inventory import Place, slots_of
from ops.fleet.transport import Target

ANSWER_SECONDS = 15.0  # for an agent to start up, look at its processes and answer
# What they tell is also about slots that are no more; what they start must not be what runs in one of them.
_ABOUT_ALL = (Verb.STATUS, Verb.FACTS, Verb.UNINSTALL, Verb.START, Verb.RESTART)
_ENDING_SECONDS = 30.0  # what an agent adds to a process's own timeouts: KILL, sweeping its session, a wrapper's end


@dataclass(frozen=True)
class HostAction:
    """One request to one host.

    Attributes
    ----------
    agent : argv of the agent.
    deadline_seconds : after which the host counts as hung; the agent's own deadlines end before.
    payload : makes what follows the request.
    why : it is for these processes, by their names, where it is for some of a host's alone.
    """

    target: Target
    agent: tuple[str, ...]
    request: Request
    deadline_seconds: float
    payload: Callable[[], Iterable[bytes]] | None = None
    why: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Kept:
    """What is left alone on one host.

    Attributes
    ----------
    action : what would be asked of it, for no process.
    processes : how they were when they were looked at.
    """

    action: HostAction
    processes: tuple[ProcessReport, ...]

    @property
    def host(self) -> str:
        """The host's key."""
        return self.action.target.name


@dataclass(frozen=True)
class Plan:
    """What a command will do.

    Attributes
    ----------
    batches : one after the other; the hosts of a batch side by side.
    superfluous : the stop of slots that the settings do not have any more; before the batches.
    max_failures : hosts that may fail before no further batch is begun.
    pool : hosts worked on at the same time.
    outdated : a restart is for what does not run the release that `current` leads to (see `ops.fleet.outdated`).
    kept : what it leaves alone.
    """

    verb: Verb
    stage: str
    batches: tuple[tuple[HostAction, ...], ...]
    max_failures: int
    pool: int
    superfluous: tuple[HostAction, ...] = ()
    outdated: bool = False
    kept: tuple[Kept, ...] = ()

    @property
    def steps(self) -> tuple[tuple[int, tuple[HostAction, ...]], ...]:
        """The batches with their numbers, from 1; what is superfluous as number 0."""
        own = tuple(enumerate(self.batches, start=1))
        return ((0, self.superfluous), *own) if self.superfluous else own

    @property
    def actions(self) -> tuple[HostAction, ...]:
        """All host actions, in order."""
        return tuple(action for _, batch in self.steps for action in batch)

    def changed(self, change: Callable[[HostAction], HostAction]) -> Plan:
        """Give the same plan with every host action changed."""
        return replace(
            self,
            batches=tuple(tuple(map(change, batch)) for batch in self.batches),
            superfluous=tuple(map(change, self.superfluous)),
        )

    def without(self, hosts: frozenset[str]) -> Plan:
        """Give the same plan without some hosts; a batch that has none left is none."""
        batches = (tuple(one for one in batch if one.target.name not in hosts) for batch in self.batches)
        superfluous = tuple(one for one in self.superfluous if one.target.name not in hosts)
        return replace(self, batches=tuple(batch for batch in batches if batch), superfluous=superfluous)

    def under(self, fence: Fence) -> Plan:
        """Give the same plan, every request of it asked under a lease."""
        return self.changed(lambda action: replace(action, request=replace(action.request, fence=fence)))


def process_specs(settings: Settings, host: Host) -> tuple[ProcessSpec, ...]:
    """Give all processes of one host, as its agent is to run them.

    Raises
    ------
    SettingsError : two of them would share their files.
    """
    specs = tuple(_spec(settings, host, slot) for slot in slots_of(settings, host))
    names: dict[str, str] = {}
    for spec in specs:
        other = names.setdefault(spec.files.pidfile, spec.name)
        if other != spec.name:
            raise SettingsError(
                f"{other} and {spec.name} would both write {spec.files.pidfile}",
                where="karafka.pid",
                hint="give it another name, or rename the role",
            )
    return specs


def make_plan(settings: Settings, places: tuple[Place, ...], verb: Verb, *, lines: int = 20) -> Plan:
    """Plan a verb for some hosts and slots.

    A restart or migration goes batch after batch, and on each host process after process, unless the strategy is `all`;
    everything else goes to all hosts in one batch.

    Parameters
    ----------
    lines : how many log lines `log` gives, and failures show.
    """
    rolling = verb in ROLLING and settings.rollout.strategy == "rolling"
    actions = tuple(_action(settings, place, verb, lines, at_once=not rolling) for place in places)
    return Plan(
        verb=verb,
        stage=settings.stage,
        batches=in_batches(settings, actions, rolling=rolling),
        max_failures=settings.rollout.max_failures if rolling else 0,
        pool=settings.pool,
    )


def instance_id(settings: Settings, host: str, process: str) -> str:
    """Give the instance id of a process by its name, also of one that the settings do not have."""
    return Slot.parse(process).instance_id(settings.application, host)


def stop_of(settings: Settings, host: Host, slots: Sequence[Slot]) -> HostAction:
    """Plan the stop of slots of a host that its settings need not have (any more)."""
    return _action(settings, Place(host, tuple(slots)), Verb.STOP, lines=20, at_once=True)


def target_of(host: Host) -> Target:
    """Give where a host is reached."""
    return Target(host.host, host.address or host.host, host.port, host.user)


def deploy_to(settings: Settings, host: Host) -> str:
    """Give the application's folder on a host."""
    return host.deploy_to or settings.deploy_to


def shared_folder(settings: Settings, host: Host) -> str:
    """Give the application's shared folder on a host."""
    return _joined(deploy_to(settings, host), "shared")


def roster_of(settings: Settings, names: Iterable[str]) -> Roster:
    """Give the roster of a host with these processes."""
    return Roster(settings.pid, tuple(names))


def keeping_of(settings: Settings) -> Keeping:
    """Give who keeps the processes."""
    systemd = settings.systemd
    supervisor = settings.supervisor
    return Keeping(
        settings.manager,
        settings.application,
        systemd.scope,
        sudo=systemd.sudo,
        socket=supervisor.socket,
        conf=supervisor.conf or "",
        credentials=supervisor.credentials or "",
    )


def agent_of(settings: Settings, host: Host) -> tuple[str, ...]:
    """Give the argv of a host's agent."""
    return agent_command(settings.agent_python, deploy_to(settings, host), settings.become_on(host))


def _action(settings: Settings, place: Place, verb: Verb, lines: int, *, at_once: bool) -> HostAction:
    known = {spec.name: spec for spec in process_specs(settings, place.host)}
    specs = tuple(known.get(str(slot)) or _spec(settings, place.host, slot) for slot in place.slots)
    request = Request(
        verb,
        place.host.host,
        specs,
        at_once,
        lines,
        shared=shared_folder(settings, place.host),
        roster=roster_of(settings, known) if verb in _ABOUT_ALL else None,
        keeping=keeping_of(settings),
        log=LogCall(lines) if verb is Verb.LOG else None,
    )
    return HostAction(
        target=target_of(place.host),
        agent=agent_of(settings, place.host),
        request=request,
        deadline_seconds=deadline_seconds(request),
    )


def deadline_seconds(request: Request) -> float:
    """Return how long an agent may take at most: another agent's turn and then its own, for each process."""
    if request.verb in ASKING:
        return ANSWER_SECONDS
    each = [_turns(request, one) for one in request.processes]
    return ANSWER_SECONDS + (max(each, default=0.0) if request.at_once else sum(each))


def _turns(request: Request, spec: ProcessSpec) -> float:
    """Bound another agent's turn and the own one; a warm handover waits for one that was left, and tries twice."""
    turn = spec.start_timeout_seconds + spec.stop_timeout_seconds + _ENDING_SECONDS
    if spec.only_outdated:  # what another agent has just started is waited for
        turn += spec.start_timeout_seconds
    if request.verb is Verb.RESTART and spec.standby == "auto":
        return 4 * (PREPARE_SECONDS + turn)
    return 2 * turn


def _spec(settings: Settings, host: Host, slot: Slot) -> ProcessSpec:
    root = deploy_to(settings, host)
    shared = _joined(root, "shared")
    return ProcessSpec(
        name=str(slot),
        command=settings.worker_argv if slot.role in settings.worker_roles else settings.argv,
        directory=_joined(root, "current"),
        files=SlotFiles.below(shared, settings.pid, slot),
        env=_environment(settings, host, slot),
        env_file=_joined(shared, settings.env_file),
        readiness=settings.readiness,
        start_timeout_seconds=settings.start_timeout_seconds,
        stop_timeout_seconds=settings.stop_timeout_seconds,
        standby=settings.rollout.standby if _can_hand_over(settings) else "off",
    )


@lru_cache(1024)
def _joined(folder: str, name: str) -> str:
    """Return a path below another one; asked for again for each process and each step of a command."""
    return str(PurePosixPath(folder) / name)


def _can_hand_over(settings: Settings) -> bool:
    """Whether a replacement may be started beside a process.

    A foreign command would not wait for its slot: it would work beside the old one. And systemd and supervisor have one
    process a unit or program.
    """
    return settings.app is not None and settings.manager == PIDFILE


def _environment(settings: Settings, host: Host, slot: Slot) -> dict[str, str]:
    """Compose what the settings say of a process's environment; the host's own wins."""
    env = {
        "KARAFKA_ENV": settings.karafka_env or settings.stage,
        "KARAFKA_INSTANCE_ID": slot.instance_id(settings.application, host.host),
        "KARAFKA_PROCESS": str(slot),
    }
    if settings.app is not None:
        env["KARAFKA_APP"] = settings.app
    if settings.kafka.brokers:
        env["KARAFKA_BROKERS"] = ",".join(settings.kafka.brokers)
    groups = () if slot.role in settings.worker_roles else settings.consumer_groups_of(slot.role)
    if slot.index < len(groups):  # a superfluous slot has none
        env["KARAFKA_GROUPS"] = groups[slot.index]
    return env | {name: str(value) for source in (settings.env, host.env) for name, value in source.items()}
