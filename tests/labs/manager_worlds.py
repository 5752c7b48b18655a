"""The managers that keep the contract, each in a small world of its own."""

from __future__ import annotations

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.protocol import ProcessSpec
from ops.core.slot import Slot, SlotFiles
from ops.node.managers import Manager
from ops.node.managers.fake import Behaviour, FakeManager
from ops.node.managers.pidfile import PidfileManager

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

    @property
    def manager(self) -> Manager: ...

    restarts_the_dead: bool  # whether somebody starts a process again that died

    def spec(self, behaviour: Behaviour, index: int = 0) -> ProcessSpec: ...

    def release(self, name: str) -> None:
        """Let `current` lead to another release."""
        ...

    def kill(self, spec: ProcessSpec) -> None: ...


class PidfileWorld:
    restarts_the_dead = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manager: Manager = PidfileManager()

    def release(self, name: str) -> None:
        (self.root / "releases" / name).mkdir(parents=True, exist_ok=True)
        (self.root / "current").unlink(missing_ok=True)
        (self.root / "current").symlink_to(f"releases/{name}")

    def spec(self, behaviour: Behaviour, index: int = 0) -> ProcessSpec:
        if not (self.root / "current").exists():
            self.release("1")
        slot = Slot("karafka", index)
        spec = ProcessSpec(
            name=str(slot),
            command=(sys.executable, "-c", SCRIPTS[behaviour]),
            directory=str(self.root / "current"),
            files=SlotFiles.below(str(self.root), "tmp/pids/karafka.pid", slot),
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


class FakeWorld:
    restarts_the_dead = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.manager = FakeManager()

    def spec(self, behaviour: Behaviour, index: int = 0) -> ProcessSpec:
        spec = PidfileWorld(self.root).spec(behaviour, index)
        self.manager.behaviours[spec.name] = behaviour
        return spec

    def release(self, name: str) -> None:
        PidfileWorld(self.root).release(name)

    def kill(self, spec: ProcessSpec) -> None:
        self.manager.kill(spec.name)
