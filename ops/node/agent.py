"""The agent: one request in, events while it works, one response."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ops.core import envfile
from ops.core.envfile import EnvFileError
from ops.core.errors import LockHeldError, OpsError
from ops.core.masking import SECRETS
from ops.core.protocol import ASKING, ROLLING, UPKEEP, Event, ProcessReport, ProcessSpec, Request, Response, Verb
from ops.core.records import replace
from ops.node import inspection, superfluous
from ops.node.managers import Manager, manager_of
from ops.node.turn import Permit, unbound

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ops.node.payload import Payload

Emit = Callable[[Event], None]
_MOST_AT_ONCE = 32


def carry_out(request: Request, emit: Emit, payload: Payload | None = None) -> Response:
    """Carry out a request on this host.

    Ctrl-C lets the steps that have begun end; the processes whose turn had not come are reported as
    such.

    Parameters
    ----------
    emit : told what happens as it happens, from several threads; must not raise.
    payload : what follows the request on standard input.
    """
    names = [spec.name for spec in request.processes]
    if len(set(names)) != len(names):
        return Response((), error=f"the request names a process twice: {', '.join(names)}")
    _learn_secrets(request, emit)
    try:
        _look_who_lives_here(request)
        _admit(request, emit)
        return _carry_out(request, emit, payload, permit_for(request))
    except LockHeldError as error:
        return Response((), error=str(error), stale=True)
    except OpsError as error:
        return Response((), error=str(error))
    except OSError as error:  # a full disk, no descriptor left: of this host's making, and nobody's bug
        return Response((), error=str(OpsError(error.strerror or str(error), where=str(error.filename or ""))))


def _carry_out(request: Request, emit: Emit, payload: Payload | None, permit: Permit) -> Response:
    if request.verb in UPKEEP:
        from ops.node.upkeep import upkeep

        return upkeep(request, permit)
    if request.verb is Verb.DEPLOY:
        from ops.node.deploying import deploy

        assert request.deploy is not None
        assert payload is not None
        return Response((), deployed=deploy(request, request.deploy, emit, payload, permit))
    if request.verb is Verb.EXEC:
        from ops.node.executing import execute

        assert request.exec is not None
        return Response((), executed=execute(request.processes[0], request.exec, emit))
    manager = manager_of(request.keeping, emit, lines=request.lines, permit=permit)
    if request.verb is Verb.STATUS:
        return _look(request, manager)
    if request.verb is Verb.LOG:
        from ops.node.logs import tell

        assert request.log is not None
        return Response(tell(request, request.log, emit))
    if request.verb is Verb.START:
        return _work(request, manager.start, permit)
    if request.verb is Verb.STOP:
        return _work(request, manager.stop, permit)
    if request.verb is Verb.RESTART:
        return _work(request, manager.restart, permit)
    if request.verb is Verb.MIGRATE:
        from ops.node.migration import Migration

        return _work(request, Migration(request, emit, permit).migrate, permit)
    if request.verb is Verb.LEASE:
        from ops.node.lease import LeaseKeeper

        assert request.lease is not None
        return Response((), lease=LeaseKeeper(Path(request.shared)).answer(request.lease))
    if request.verb is Verb.HISTORY:
        from ops.node.evidence import History

        assert request.history is not None
        return Response((), history=History(Path(request.shared)).answer(request.history))
    if request.verb is Verb.PROGRESS:
        from ops.node.evidence import progress

        return Response((), progress=progress(request.processes))
    if request.verb is Verb.DESCRIBE:
        from ops.node.describe import describe

        return Response((), described=describe(request.processes[0], request.lines))
    raise OpsError(f"nobody here does {request.verb}")


def _learn_secrets(request: Request, emit: Emit) -> None:
    """Learn what no answer, event or record may have in it: the request's own secrets, and those of the env files."""

    def say(text: str) -> None:
        if request.verb in (Verb.START, Verb.RESTART, Verb.MIGRATE):
            emit(Event("", "warning", text))

    for spec in request.processes:
        SECRETS.learn((spec.env, spec.command))
    for path in {spec.env_file for spec in request.processes} - {""}:
        with suppress(EnvFileError):  # whoever needs it says so
            envfile.read(Path(path), say)
    if request.deploy is not None:
        SECRETS.learn((request.deploy.env, request.deploy.source, request.deploy.build))
    if request.exec is not None:
        SECRETS.learn(request.exec.argv)
    SECRETS.spare((request.host, *(spec.name for spec in request.processes)))


def _look(request: Request, manager: Manager) -> Response:
    """Report how the processes are, whether they could be started, and what this host is known by."""
    from ops.node import outdated, resident
    from ops.node.startable import trouble

    kind = request.keeping.kind
    reports = tuple(
        replace(one, unstartable=trouble(spec, kind), outdated=outdated.why(one, spec))
        for one, spec in zip(manager.statuses(request.processes), request.processes)
    )
    both = _connected((*reports, *superfluous.reports(request, manager)))
    addresses: tuple[str, ...] = ()
    if any(one.consumer is None for one in both):  # by them a foreign consumer is known in its group
        from ops.node import sockets

        addresses = sockets.addresses()
    return Response(
        both[: len(reports)],
        others=both[len(reports) :],
        current=inspection.current_release(request),
        addresses=addresses,
        resident=resident.known(Path(request.shared)) if request.shared else "",
    )


def _connected(reports: tuple[ProcessReport, ...]) -> tuple[ProcessReport, ...]:
    """Return reports with what foreign commands are connected to: they say nothing of their memberships themselves."""
    foreign = [one.pid for one in reports if one.consumer is None and one.pid is not None]
    if not foreign:
        return reports
    from ops.node.sockets import remote_ports

    ports = remote_ports(foreign)
    return tuple(
        replace(one, ports=ports[one.pid]) if one.consumer is None and one.pid is not None else one for one in reports
    )


def _look_who_lives_here(request: Request) -> None:
    """Make sure that what is to be changed is this host's.

    Raises
    ------
    OpsError : it is another host's of the inventory.
    """
    if request.shared and request.verb not in (*ASKING, Verb.LEASE, Verb.HISTORY):
        from ops.node import resident

        resident.require(Path(request.shared), request.host)


def _admit(request: Request, emit: Emit) -> None:
    """Note the lease that something is asked under.

    Raises
    ------
    LockHeldError : it has gone to somebody else, and more than a question is asked.
    OpsError : what this host has seen so far cannot be read.
    """
    if request.fence is None or request.verb is Verb.LEASE:
        return
    from ops.node.fence import FenceRecord

    try:
        trouble = FenceRecord(Path(request.shared)).admit(request.fence)
    except LockHeldError:
        if request.verb not in ASKING:
            raise
    else:
        if trouble:
            emit(Event("", "warning", trouble))


def permit_for(request: Request) -> Permit:
    """Give what tells whether something may still be begun for a request."""
    if request.exec is not None:
        from ops.node.executing import permit_for_time

        return permit_for_time(request.exec)
    if request.fence is None:
        return unbound
    from ops.node.fence import permit_of

    return permit_of(request.shared, request.fence)


def _lost(permit: Permit) -> str:
    """Say why nothing more may be begun; empty for nothing."""
    try:
        permit()
    except OpsError as error:
        return error.what
    return ""


def _confused(request: Request, spec: ProcessSpec) -> str:
    """Say why a process may not be started: another one may be it."""
    if request.roster is None or request.verb not in (Verb.START, Verb.RESTART):
        return ""
    from ops.node.location import confusion

    return confusion(spec, request.roster.names, renamed=request.verb is Verb.START)


def _work(request: Request, verb: Callable[[ProcessSpec], ProcessReport], permit: Permit) -> Response:
    """Act on the processes, side by side or one after the other, never in the thread that Ctrl-C hits."""
    from concurrent.futures import Future, ThreadPoolExecutor

    width = min(len(request.processes), _MOST_AT_ONCE) if request.at_once else 1
    halt: list[str] = []  # why the processes whose turn has not come are left alone

    def one(spec: ProcessSpec) -> ProcessReport:
        lost = _lost(permit)
        if lost and not halt:
            halt.append(lost)
        if halt:
            return inspection.seen(spec, ok=False, message=f"not attempted: {halt[0]}")
        confused = _confused(request, spec)
        nothing = f"{confused}; nothing was done"
        report = inspection.seen(spec, ok=False, message=nothing) if confused else verb(spec)
        if not report.ok and request.verb in ROLLING and not request.at_once:
            halt.append(f"{spec.name} failed")
        return report

    interrupted = ""
    with ThreadPoolExecutor(max(width, 1)) as pool:
        futures: list[Future[ProcessReport]] = [pool.submit(one, spec) for spec in request.processes]
        try:
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            interrupted = "interrupted"
            halt.append(interrupted)
    return Response(_connected(tuple(future.result() for future in futures)), error=interrupted)
