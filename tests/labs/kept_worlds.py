"""The managers of an operating system that keep the contract: systemd and supervisor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from ops.core import section
from ops.core.protocol import ProcessReport, ProcessSpec, Verb
from ops.node.managers.fake import Behaviour
from ops.node.managers.supervisor import SupervisorManager
from ops.sandbox.nspawn import PYTHON, SystemdHost
from ops.sandbox.supervisord import LocalSupervisord
from tests.labs.manager_worlds import SCRIPTS, PidfileWorld
from tests.labs.staying import Staying


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
        self.application = Staying(self.host, settings)
        self.application.release("1")
        self.application.install()

    def release(self, name: str) -> None:
        self.application.release(name)

    def kill(self, spec: ProcessSpec) -> None:
        pid = self.manager.status(spec).pid
        self.host.run("kill", "-KILL", str(pid))

    def close(self) -> None:
        if self._installed is not None:
            units = [self.application.unit(index) for index in range(2)]
            self.host.run("systemctl", "kill", "--signal=KILL", *units, check=False)
            self.host.run("systemctl", "stop", *units, check=False)
