"""`fab karafka.setup`: the application's folders and this very version of the tool onto the hosts."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from importlib import resources
from itertools import chain
from pathlib import Path
from typing import Any

from ops import core
from ops.core.deadline import Deadline
from ops.core.errors import ExitCode, OpsError, UnreachableError, UsageError
from ops.core.interpreters import NEWEST, OLDEST_ON_HOSTS
from ops.core.ownership import roots_folder
from ops.core.records import dataclass
from ops.core.settings import Host, Settings
from ops.fleet.agent_command import SUDO_HINT, by_sudo, sudo_refusal
from ops.fleet.conversation import Lines, shorten
from ops.fleet.crew import Crew, Done, Happened, Interrupted, Job
from ops.fleet.plan import deploy_to, target_of
from ops.fleet.report import INTERRUPTED
from ops.fleet.setup.opening import COMMAND, MARK, PLACES, opening
from ops.fleet.setup.wheel import DISTRIBUTION, Wheel, own_wheel
from ops.fleet.transport import Target, Transport

SETUP_SECONDS = 1200.0


@dataclass(frozen=True)
class HostSetup:
    """What is to be done on one host: `order` is what the script there reads.

    Attributes
    ----------
    become : the user who is to do it; None for who logs in.
    """

    target: Target
    order: dict[str, Any]
    become: str | None = None


@dataclass(frozen=True)
class SetupPlan:
    """What is to be done.

    Attributes
    ----------
    load : a tar of the wheels that every host gets.
    """

    hosts: tuple[HostSetup, ...]
    load: bytes
    pool: int


@dataclass(frozen=True)
class SetupOutcome:
    """What came of one host: `message` says it in words."""

    host: str
    message: str
    error: OpsError | None = None


def make_setup(settings: Settings, hosts: Sequence[Host], wheelhouse: Path | None = None) -> SetupPlan:
    """Plan the setup of some hosts.

    Parameters
    ----------
    wheelhouse : a folder with the wheels of the requirements, for hosts without a registry.

    Raises
    ------
    UsageError : the wheelhouse is no folder, or lacks a requirement.
    """
    wheel = own_wheel()
    wheels = {wheel.name: wheel.content, **_wheelhouse(wheelhouse, wheel)}
    order = {
        "stage": settings.stage,
        "fleet": [host.host for host in settings.hosts],
        "version": wheel.version,
        "digest": wheel.digest,
        "wheel": wheel.name,
        "requirements": list(wheel.requirements),
        "offline": wheelhouse is not None,
        "oldest": OLDEST_ON_HOSTS,
        "newest": NEWEST,
        "places": PLACES,
        "ownership": (resources.files(core) / "ownership.py").read_text(),
    }
    return SetupPlan(
        tuple(
            HostSetup(
                target_of(host),
                {
                    **order,
                    "host": host.host,
                    "deploy_to": deploy_to(settings, host),
                    "place": roots_folder(deploy_to(settings, host)),
                    "python": host.python or settings.python or "",
                },
                settings.become_on(host),
            )
            for host in hosts
        ),
        _tar(wheels),
        settings.pool,
    )


def carry_out(plan: SetupPlan, transport: Transport, say: Callable[[str], None]) -> tuple[list[SetupOutcome], int]:
    """Set the hosts up, side by side.

    Parameters
    ----------
    say : is told what happens, in this thread.

    Returns
    -------
    An outcome for every host, and the exit code: 1 when one failed, else 4 when one was unreachable, else 0.
    """
    crew: Crew[dict[str, Any], dict[str, Any]] = Crew(plan.pool)

    def job(one: HostSetup) -> Job[dict[str, Any], dict[str, Any]]:
        return Job(one.target.name, lambda emit: _set_up(transport, one, plan.load, emit), SETUP_SECONDS)

    done: dict[str, SetupOutcome] = {}
    interrupted = False
    with crew.interrupts():
        for news in crew.run([job(one) for one in plan.hosts]):
            match news:
                case Happened(host, line):
                    say(f"{host}: {line['step']} ({line.get('detail', '')})")
                case Done(host, answer, error):
                    done[host] = SetupOutcome(host, _message(answer), error)
                    say(str(error) if error else f"{host}: {done[host].message}")
                case Interrupted(hosts):
                    if interrupted:
                        crew.leave()
                    interrupted = True
                    say(f"interrupted: finishing what has begun on {', '.join(hosts)}; Ctrl-C again leaves it")
    missing = OpsError("not attempted, or left before its end: interrupted")
    outcomes = [done.get(one.target.name, SetupOutcome(one.target.name, "", missing)) for one in plan.hosts]
    return outcomes, INTERRUPTED if interrupted else _exit_code(outcomes)


def _set_up(
    transport: Transport, one: HostSetup, load: bytes, emit: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Set one host up."""
    answer: dict[str, Any] = {}

    def take(line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        if "step" in said:
            emit(said)
        else:
            answer.update(said)

    listener = Lines(MARK, take)
    data = chain((opening(one.order),), (load,))
    command = (*by_sudo(one.become), *COMMAND)
    end = transport.execute(one.target, command, data, listener.feed, Deadline(SETUP_SECONDS))
    listener.feed(b"\n")
    where = one.target.name
    if answer.get("done"):
        return answer
    if "error" in answer:
        raise OpsError(str(answer["error"]), where=where, hint=str(answer.get("hint", "")))
    if "old" in answer:
        raise _too_old(one.order["python"], str(answer["old"]), where)
    said = shorten((end.errors.strip().splitlines() or [listener.noise or "nothing"])[-1].encode())
    if refusal := sudo_refusal(command, said):
        raise OpsError(refusal, where=where, hint=SUDO_HINT)
    raise OpsError(f"the setup broke off (exit code {end.code}): {said}", where=where)


def _too_old(named: str, found: str, where: str) -> OpsError:
    """Return the error of a host that has no Python to begin with."""
    needed = ".".join(map(str, OLDEST_ON_HOSTS))
    there = f"; found: {found}" if found else ""
    what = f"it has no Python {needed} or later{there}" if found else "there is no python3"
    if named:
        what = f"karafka.python names {named}, which is no Python {needed} or later{there}"
    hint = "install one, with venv, or name it: `python: /opt/py/bin/python3` for the host or the stage"
    return OpsError(what, where=where, hint=hint)


def _message(answer: dict[str, Any] | None) -> str:
    if answer is None:
        return ""
    begin = "set up" if answer.get("changed") else "already set up with this version"
    newer = answer.get("newer")
    more = f"; {newer} is there, too: `python:` for the host or the stage names it" if newer else ""
    return f"{begin}, {answer.get('python')}{more}"


def _exit_code(outcomes: Sequence[SetupOutcome]) -> int:
    bad = [one.error for one in outcomes if one.error is not None]
    if any(not isinstance(error, UnreachableError) for error in bad):
        return ExitCode.FAILED
    return ExitCode.UNREACHABLE if bad else ExitCode.DONE


def _wheelhouse(folder: Path | None, wheel: Wheel) -> dict[str, bytes]:
    """Read a wheelhouse's wheels; another build of the tool itself is not among them."""
    if folder is None:
        return {}
    if not folder.is_dir():
        raise UsageError(f"no such folder: {folder}", where="--wheelhouse")
    own = DISTRIBUTION.replace("-", "_")
    paths = [path for path in sorted(folder.glob("*.whl")) if path.name.split("-")[0].lower() != own]
    there = {path.name.split("-")[0].lower().replace("_", "-") for path in paths}
    for requirement in wheel.requirements:
        name = requirement.split("[")[0].split(">")[0].split("=")[0].split("<")[0]
        if name not in there:
            fill = f"pip download --only-binary :all: -d {folder} '{requirement}'"
            raise UsageError(f"{folder} has no wheel of {name}", where="--wheelhouse", hint=fill)
    return {path.name: path.read_bytes() for path in paths}


def _tar(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
