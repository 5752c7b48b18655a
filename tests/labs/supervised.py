"""An application whose processes a real supervisord keeps."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.protocol import Event, ProcessReport, ProcessSpec, Request, Response, Verb
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State
from ops.node.agent import carry_out
from ops.node.supervisord import Program, Supervisord
from ops.sandbox.supervisord import LocalSupervisord
from tests.labs.node_host import CHILD

PATIENCE = 30.0


class Kept:
    """One application on a host with a supervisord."""

    def __init__(self, root: Path, server: LocalSupervisord, name: str) -> None:
        self.server = server
        self.name = name
        self.keeping = server.keeping(name)
        self.shared = root / name / "shared"
        self.release = root / name / "releases" / "20260101000000"
        self.release.mkdir(parents=True)
        (root / name / "current").symlink_to(self.release)
        self.current = root / name / "current"
        self.events: list[Event] = []

    def spec(self, *flags: str, index: int = 0, **changes: Any) -> ProcessSpec:
        """Make a process that runs child.py with these flags."""
        slot = Slot("karafka", index)
        spec = ProcessSpec(
            name=str(slot),
            command=(sys.executable, str(CHILD), *flags),
            directory=str(self.current),
            files=SlotFiles.below(str(self.shared), "tmp/pids/karafka.pid", slot),
            env={"WHO": f"{self.name} {slot}"},
            env_file=str(self.shared / "karafka.env"),
            stop_timeout_seconds=10.0,
        )
        return replace(spec, **changes)

    def installed(self, *flags: str, processes: int = 1, watchdog_seconds: float = 0.0, **changes: Any) -> Any:
        """Make and install some processes; gives the one spec, or all."""
        specs = [self.spec(*flags, index=index, **changes) for index in range(processes)]
        self.server.install(self.name, specs, watchdog_seconds=watchdog_seconds)
        return specs[0] if processes == 1 else specs

    def ask(self, verb: Verb, *specs: ProcessSpec, at_once: bool = True) -> Response:
        """Ask the agent's functions."""
        request = Request(verb, "h1", specs, at_once=at_once, keeping=self.keeping)
        return carry_out(request, self.events.append)

    def one(self, verb: Verb, spec: ProcessSpec) -> ProcessReport:
        """Ask about one process."""
        response = self.ask(verb, spec)
        assert not response.error
        return response.processes[0]

    def until(self, spec: ProcessSpec, *states: State, other_than: int | None = None) -> ProcessReport:
        """Wait until a process is in one of these states, and not the one with this pid."""
        seen: list[ProcessReport] = []

        def there() -> bool:
            seen.append(self.one(Verb.STATUS, spec))
            return seen[-1].state in states and (seen[-1].pid is None or seen[-1].pid != other_than)

        assert Deadline(PATIENCE).poll(there, every=0.05), f"{seen[-1]}\n{self.log(spec)}"
        return seen[-1]

    def program(self, spec: ProcessSpec) -> Program:
        """Return what supervisord says of its program."""
        server = Supervisord(self.server.socket)
        try:
            return server.program(self.keeping.program(spec.name))
        finally:
            server.close()

    def begin(self, spec: ProcessSpec) -> None:
        """Let supervisord start it by itself, as at boot."""
        server = Supervisord(self.server.socket)
        server.start(self.keeping.program(spec.name))
        server.close()

    def log(self, spec: ProcessSpec) -> str:
        """Return what it wrote."""
        path = Path(spec.files.log)
        return path.read_text() if path.exists() else ""

    def environments(self, spec: ProcessSpec) -> list[dict[str, str]]:
        """Return the environment of each start."""
        prefix = "environment "
        return [
            json.loads(line.removeprefix(prefix)) for line in self.log(spec).splitlines() if line.startswith(prefix)
        ]

    @staticmethod
    def kill(pid: int | None) -> Identity:
        """End a process by kill -9; gives it."""
        process = Identity.of(pid or 0)
        assert process is not None
        assert process.send(signal.SIGKILL)
        return process


class MakeKept(Protocol):
    """Makes an application, on the supervisord that all tests of the module share unless a server is given."""

    def __call__(self, name: str, server: LocalSupervisord = ...) -> Kept: ...
