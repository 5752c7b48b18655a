"""The managers that keep the contract, each in a small world of its own."""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from ops.core import section
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.protocol import ProcessReport, ProcessSpec, Verb
from ops.core.slot import Slot, SlotFiles
from ops.node.managers import Manager
from ops.node.managers.fake import Behaviour, FakeManager
from ops.node.managers.pidfile import PidfileManager
from ops.node.managers.supervisor import SupervisorManager
from ops.sandbox.census import guard
from ops.sandbox.deployed import Deployed
from ops.sandbox.nspawn import PYTHON, SystemdHost
from ops.sandbox.supervisord import LocalSupervisord

READY = "from ops.core.notify import Notifier; Notifier.from_environment().ready();"
SCRIPTS = {
    Behaviour.SERVES: f"import time; {READY} time.sleep(300)",
    Behaviour.EXITS: "print('exiting', flush=True); raise SystemExit(3)",
    Behaviour.NEVER_READY: "import time; time.sleep(300)",
    Behaviour.IGNORES_TERM: (
        f"import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY} time.sleep(300)"
    ),
}


class World(Protocol):
    """One manager and what surrounds it."""

    manager: Manager
    restarts_the_dead: bool  # whether somebody starts a process again that died

    def spec(self, behaviour: Behaviour, index: int = 0) -> ProcessSpec: ...

    def kill(self, spec: ProcessSpec) -> None: ...


class PidfileWorld:
    restarts_the_dead = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manager: Manager = PidfileManager()

    def spec(self, behaviour: Behaviour, index: int = 0) -> ProcessSpec:
        slot = Slot("karafka", index)
        spec = ProcessSpec(
            name=str(slot),
            command=(sys.executable, "-c", SCRIPTS[behaviour]),
            directory=str(self.root),
            files=SlotFiles.below(str(self.root), "tmp/pids/karafka.pid", slot, "karafka"),
        )
        if behaviour is Behaviour.NEVER_READY:
            return replace(spec, start_timeout_seconds=2.0)
        return replace(spec, stop_timeout_seconds=0.5) if behaviour is Behaviour.IGNORES_TERM else spec

    def kill(self, spec: ProcessSpec) -> None:
        pid = self.manager.status(spec).pid
        assert pid is not None
        identity = Identity.of(pid)
        assert identity is not None
        identity.send(signal.SIGKILL)
        assert Deadline(5).poll(lambda: not identity.alive())


class SupervisorWorld(PidfileWorld):
    """Programs of a real supervisord, which all tests share."""

    restarts_the_dead = True

    def __init__(self, root: Path, server: LocalSupervisord) -> None:
        super().__init__(root / "shared")
        self.server = server
        self.application = root.name
        self.manager = SupervisorManager(server.keeping(self.application), lambda _: None)
        self.specs: dict[str, ProcessSpec] = {}

    def spec(self, behaviour: Behaviour, index: int = 0) -> ProcessSpec:
        self.root.mkdir(exist_ok=True)
        spec = super().spec(behaviour, index)
        self.specs[spec.name] = spec
        assert not self.server.install(self.application, list(self.specs.values()))["changed"]
        return spec

    def close(self) -> None:
        (self.server.conf_d / f"karafka-{self.application}.conf").unlink()
        self.server.update()


class FakeWorld:
    restarts_the_dead = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manager = FakeManager()

    def spec(self, behaviour: Behaviour, index: int = 0) -> ProcessSpec:
        spec = PidfileWorld(self.root).spec(behaviour, index)
        self.manager.behaviours[spec.name] = behaviour
        return spec

    def kill(self, spec: ProcessSpec) -> None:
        self.manager.kill(spec.name)


class _AtTheHost:
    """The manager on a systemd host, by its agent."""

    def __init__(self, world: SystemdWorld) -> None:
        self._world = world

    def status(self, spec: ProcessSpec) -> ProcessReport:
        return self._ask(Verb.STATUS, spec)

    def statuses(self, specs: Sequence[ProcessSpec]) -> tuple[ProcessReport, ...]:
        return tuple(map(self.status, specs))

    def start(self, spec: ProcessSpec) -> ProcessReport:
        return self._ask(Verb.START, spec)

    def stop(self, spec: ProcessSpec) -> ProcessReport:
        return self._ask(Verb.STOP, spec)

    def restart(self, spec: ProcessSpec) -> ProcessReport:
        return self._ask(Verb.RESTART, spec)

    def _ask(self, verb: Verb, spec: ProcessSpec) -> ProcessReport:
        return self._world.application.ask(verb, spec).processes[0]


class SystemdWorld:
    restarts_the_dead = True
    _numbers = itertools.count()

    def __init__(self, host: SystemdHost) -> None:
        self.host = host
        self.manager = _AtTheHost(self)
        self._name = f"contract{next(self._numbers)}"
        self._installed: Behaviour | None = None

    def spec(self, behaviour: Behaviour, index: int = 0) -> ProcessSpec:
        if self._installed is None:
            self._install(behaviour)
        assert self._installed is behaviour, "an application has one command"
        return self.application.specs[index]

    def _install(self, behaviour: Behaviour) -> None:
        self._installed = behaviour
        settings = section.load(
            {
                "application": self._name,
                "deploy_to": f"/srv/{self._name}",
                "command": [PYTHON, "-c", SCRIPTS[behaviour]],
                "agent_python": PYTHON,
                "manager": "systemd",
                "processes": 2,
                "start_timeout_seconds": 2.0 if behaviour is Behaviour.NEVER_READY else 20,
                "stop_timeout_seconds": 0.5 if behaviour is Behaviour.IGNORES_TERM else 30,
                "stages": {"test": {"hosts": [{"host": "h1"}]}},
            }
        )
        self.application = Deployed(self.host, settings)
        self.application.release("1")
        self.application.install()

    def kill(self, spec: ProcessSpec) -> None:
        pid = self.manager.status(spec).pid
        self.host.run("kill", "-KILL", str(pid))

    def close(self) -> None:
        if self._installed is not None:
            units = [self.application.unit(index) for index in range(2)]
            self.host.run("systemctl", "kill", "--signal=KILL", *units, check=False)
            self.host.run("systemctl", "stop", *units, check=False)


WORLDS = [
    pytest.param(PidfileWorld, id="pidfile"),
    pytest.param(FakeWorld, id="fake"),
    pytest.param(SupervisorWorld, id="supervisor"),
    pytest.param(SystemdWorld, id="systemd", marks=pytest.mark.xdist_group("systemd_host")),
]


@pytest.fixture(scope="module")
def supervisord(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[LocalSupervisord]:
    with LocalSupervisord(tmp_path_factory.mktemp("supervisord")) as server:
        guard(server.folder, run_owner)
        yield server


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param is SystemdWorld:
        made = SystemdWorld(request.getfixturevalue("systemd_host"))
        yield made
        made.close()
        return
    if request.param is SupervisorWorld:
        supervised = SupervisorWorld(tmp_path, request.getfixturevalue("supervisord"))
        yield supervised
        supervised.close()
        return
    yield request.param(tmp_path)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(tmp_path) in process.environ().get("KARAFKA_STATUS_FILE", ""):
                process.kill()
