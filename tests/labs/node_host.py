"""A host's folder of a test's own, and the agent as a process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from ops.core.deadline import Deadline
from ops.core.protocol import Event, ProcessReport, ProcessSpec, Request, Response, Verb, decode_line
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State
from ops.node.agent import carry_out
from ops.node.managers.pidfile import PidfileManager

CHILD = Path(__file__).with_name("programs") / "child.py"
LEAVER = CHILD.with_name("leaver.py")


class NodeHost:
    """One host: specs of its processes, and its agent."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.shared = root / "shared"
        self.release = root / "releases" / "20260101000000"
        self.release.mkdir(parents=True)
        self.current = root / "current"
        self.current.symlink_to(self.release)
        self.agents: list[subprocess.Popen[str]] = []

    def spec(self, *flags: str, index: int = 0, **changes: Any) -> ProcessSpec:
        """Make a process that runs child.py with these flags."""
        slot = Slot("karafka", index)
        spec = ProcessSpec(
            name=str(slot),
            command=(sys.executable, str(CHILD), *flags),
            directory=str(self.current),
            files=SlotFiles.below(str(self.shared), "tmp/pids/karafka.pid", slot),
            start_timeout_seconds=30.0,
            stop_timeout_seconds=30.0,
        )
        return replace(spec, **changes)

    def pidfile(self, spec: ProcessSpec) -> Path:
        """Return the path of the pidfile, its folder made."""
        path = Path(spec.files.pidfile)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def agent(self, verb: Verb, *specs: ProcessSpec, at_once: bool = True, lines: int = 20) -> subprocess.Popen[str]:
        """Start an agent with a request, and give its process."""
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.agents.append(process)
        assert process.stdin is not None
        process.stdin.write(Request(verb, "h1", specs, at_once=at_once, lines=lines).encode() + "\n")
        process.stdin.flush()
        return process

    @staticmethod
    def request(verb: Verb, *specs: ProcessSpec) -> str:
        """Return a request as the agent reads it."""
        return Request(verb, "h1", specs).encode() + "\n"

    def ask(self, verb: Verb, *specs: ProcessSpec, at_once: bool = True, lines: int = 20) -> Response:
        """Ask the agent and wait for its response."""
        return self.answer(self.agent(verb, *specs, at_once=at_once, lines=lines))[1]

    def one(self, verb: Verb, spec: ProcessSpec) -> ProcessReport:
        """Ask the agent's code in here about one process: what takes a process of its own is asked by `ask`."""
        response = carry_out(Request(verb, "h1", (spec,), lines=20), lambda _: None)
        assert not response.error
        return response.processes[0]

    @staticmethod
    def answer(agent: subprocess.Popen[str]) -> tuple[list[Event], Response]:
        """Read an agent's whole answer."""
        out, err = agent.communicate(timeout=90)
        assert agent.returncode == 0, err
        assert not err
        messages = [decode_line(line) for line in out.splitlines() if line]
        assert isinstance(messages[-1], Response)
        return [message for message in messages if isinstance(message, Event)], messages[-1]

    def until(self, spec: ProcessSpec, *states: State) -> list[State]:
        """Look at a process until each of these states was seen in turn; gives the states seen in turn."""
        manager = PidfileManager()
        seen: list[State] = []

        def reached() -> bool:
            state = manager.status(spec).state
            if state in states and state not in seen:
                seen.append(state)
            return bool(seen) and seen[-1] is states[-1]

        Deadline(20).poll(reached)
        return seen

    def bystander(self, spec: ProcessSpec) -> subprocess.Popen[str]:
        """Start a process that waits for the slot and keeps it, as a foreign starter would."""
        script = (
            "import sys, time; from pathlib import Path; from ops.core.deadline import Deadline;"
            "from ops.core.locks import Byte, SlotLock; lock = SlotLock(Path(sys.argv[1])); print('here', flush=True);"
            "lock.take(Byte.OWNER, Deadline(60)); time.sleep(60)"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, spec.files.lock], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        self.agents.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        return process

    def processes(self) -> list[psutil.Process]:
        """Find every process whose environment names this host's folder."""
        return processes_of(self.root)


def processes_of(root: Path) -> list[psutil.Process]:
    """Find every process whose environment names a host's folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(root) in process.environ().get("KARAFKA_STATUS_FILE", ""):
                found.append(process)
    return found


def end(root: Path, agents: Iterable[subprocess.Popen[str]]) -> None:
    """End a host's agents at once, then its processes."""
    for agent in agents:
        if agent.poll() is None:
            agent.kill()
        agent.wait()
        for pipe in (agent.stdin, agent.stdout, agent.stderr):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
    for process in processes_of(root):
        with suppress(psutil.Error):
            process.kill()
