"""A host with consumers of numbered messages on a real broker, and the agent as a process."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import psutil

from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.keeping import Keeping
from ops.core.locks import Byte, holder_of
from ops.core.protocol import Event, ProcessReport, ProcessSpec, Request, Response, Verb, decode_line
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State
from ops.node.agent import carry_out
from ops.sandbox.shared import SharedKafka
from tests.labs.node_host import end, processes_of

PROGRAMS = Path(__file__).with_name("programs")
PATIENCE = 60.0


class HandoverLab:
    """One host's folder, its processes, topics of its own and the traffic on them."""

    def __init__(self, root: Path, kafka: SharedKafka, *, processes: int, partitions: int) -> None:
        self.root = root
        self.name = kafka.unique("handover")
        self.brokers = Brokers.from_environment({"KARAFKA_BROKERS": kafka.bootstrap})
        self.agents: list[subprocess.Popen[str]] = []
        self.keeping = Keeping()
        self.release = root / "releases" / "1"
        self.release.mkdir(parents=True)
        (root / "current").symlink_to(self.release)
        kafka.create_topics({f"{self.name}-in": partitions, f"{self.name}-out": partitions})
        self.specs = tuple(self._spec(kafka, index) for index in range(processes))
        self._kafka = kafka
        self._stop = threading.Event()
        self._senders: list[threading.Thread] = []
        self._sent: list[Any] = []
        self._streams: list[str] = []
        self._heard = 0

    def _spec(self, kafka: SharedKafka, index: int) -> ProcessSpec:
        slot = Slot("karafka", index)
        env = {
            "KARAFKA_BROKERS": kafka.bootstrap,
            "KARAFKA_APP": "handover_app:app",
            "KARAFKA_INSTANCE_ID": slot.instance_id(self.name, "h1"),
            "PYTHONPATH": str(PROGRAMS),
            "TEST_APP": self.name,
            "TEST_FOLDER": str(self.root),
        }
        return ProcessSpec(
            name=str(slot),
            command=(sys.executable, "-m", "ops", "server"),
            directory=str(self.root / "current"),
            files=SlotFiles.below(str(self.root / "shared"), "tmp/pids/karafka.pid", slot),
            env=env,
            start_timeout_seconds=40.0,
            stop_timeout_seconds=20.0,
        )

    # -- the agent

    def agent(self, verb: Verb, *specs: ProcessSpec, at_once: bool = True) -> subprocess.Popen[str]:
        """Start an agent with a request, and give its process."""
        process = subprocess.Popen(
            [sys.executable, "-m", "ops.node"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.agents.append(process)
        assert process.stdin is not None
        request = Request(verb, "h1", specs or self.specs, at_once=at_once, keeping=self.keeping)
        process.stdin.write(request.encode() + "\n")
        process.stdin.flush()
        return process

    @staticmethod
    def answer(agent: subprocess.Popen[str]) -> tuple[list[Event], Response]:
        """Read an agent's whole answer."""
        out, err = agent.communicate(timeout=150)
        assert agent.returncode == 0, err
        messages = [decode_line(line) for line in out.splitlines() if line]
        assert isinstance(messages[-1], Response)
        return [message for message in messages if isinstance(message, Event)], messages[-1]

    def ask(self, verb: Verb, *specs: ProcessSpec, at_once: bool = True) -> tuple[ProcessReport, ...]:
        """Ask the agent and wait for its reports; a status, which waits for nothing, comes from its code in here."""
        if verb is Verb.STATUS:
            response = carry_out(Request(verb, "h1", specs or self.specs, keeping=self.keeping), lambda _: None)
        else:
            response = self.answer(self.agent(verb, *specs, at_once=at_once))[1]
        assert not response.error
        return response.processes

    def one(self, verb: Verb, spec: ProcessSpec | None = None) -> ProcessReport:
        """Ask about one process, the first without a spec."""
        return self.ask(verb, spec or self.specs[0])[0]

    def changed(self, **changes: Any) -> ProcessSpec:
        """Return the first process with changes."""
        return replace(self.specs[0], **changes)

    # -- the processes

    def holder(self, byte: Byte, index: int = 0) -> int | None:
        """Return the pid of the process that holds a byte of a slot."""
        return holder_of(Path(self.specs[index].files.lock), byte)

    def until_held(self, byte: Byte) -> Identity:
        """Wait until a byte of the first slot is held; gives the process."""

        def holder() -> Identity | None:
            pid = self.holder(byte)
            return Identity.of(pid) if pid is not None else None  # None for one that is dying with what it holds

        process = Deadline(PATIENCE).poll(holder, every=0.001)
        assert process is not None, f"nobody took {byte!r}\n{self.log()}"
        return process

    def until_asked(self) -> Identity:
        """Wait until the owner was asked for the slot and is at it; gives the replacement."""
        standby = self.until_held(Byte.WARM)
        status = Path(self.specs[0].files.status)
        assert Deadline(PATIENCE).poll(lambda: '"handing over"' in status.read_text()), self.log()
        return standby

    def until_free(self, byte: Byte) -> None:
        """Wait until a byte of the first slot is free."""
        assert Deadline(PATIENCE).poll(lambda: self.holder(byte) is None), self.log()

    def until_running(self, *, other_than: int | None = None) -> int:
        """Wait until the first process works and no replacement is under way; gives its pid."""

        def works() -> int | None:
            report = self.one(Verb.STATUS)
            settled = report.state is State.RUNNING and self.holder(Byte.REPLACING) is None
            return report.pid if settled and report.pid != other_than else None

        pid = Deadline(PATIENCE).poll(works, every=0.1)
        assert pid is not None, f"{self.one(Verb.STATUS)}\n{self.log()}"
        return pid

    def log(self, index: int = 0) -> str:
        """Return what a process wrote since the lab was made, or made afresh."""
        path = Path(self.specs[index].files.log)
        return path.read_bytes()[self._heard :].decode(errors="replace") if path.exists() else ""

    def until_hanging(self) -> Identity:
        """Wait until a replacement hangs at its import, where a file named `hang` keeps it; gives it."""
        assert Deadline(PATIENCE).poll((self.root / "hanging").exists), self.log()
        return self.until_held(Byte.REPLACING)

    def hold(self) -> None:
        """Let each message in work wait from now on, and wait until one does."""
        (self.root / "hold").touch()
        assert Deadline(PATIENCE).poll((self.root / "holding").exists), self.log()

    def let_go(self) -> None:
        """Let the messages go on."""
        (self.root / "hold").unlink()

    def processes(self) -> list[psutil.Process]:
        """Find every process whose environment names this folder."""
        return processes_of(self.root)

    def assert_nothing_left(self) -> None:
        """Hold that each slot has one process, its own files and no other."""
        owners = {self.holder(Byte.OWNER, index) for index in range(len(self.specs))}
        assert {process.pid for process in self.processes()} == owners
        # What a process writes lies beside its file for a moment
        assert Deadline(5).poll(lambda: not self._foreign()), self._foreign()
        for index, spec in enumerate(self.specs):
            assert Path(spec.files.pidfile).read_text().split()[0] == str(self.holder(Byte.OWNER, index))
            assert self.holder(Byte.REPLACING, index) is None
            assert self.holder(Byte.WARM, index) is None

    def _foreign(self) -> set[str]:
        """Return the names of files that are no slot's own."""
        suffixes = (".pid", ".lock", ".json", ".deaths", ".status", ".progress", ".log")
        own = {f"{spec.name}{suffix}" for spec in self.specs for suffix in suffixes}
        return {path.name for path in (self.root / "shared").rglob("*") if path.is_file()} - own

    def afresh(self) -> None:
        """Make ready for a next test, which has its own traffic and log; what a failed one left behind is ended."""
        self.quieten()
        for name in ("raise", "hang", "hanging", "hold", "holding"):
            (self.root / name).unlink(missing_ok=True)
        if any(agent.poll() is None for agent in self.agents) or {process.pid for process in self.processes()} != {
            self.holder(Byte.OWNER)
        }:
            end(self.root, self.agents)
            assert Deadline(PATIENCE).poll(lambda: not self.processes())
            report = self.one(Verb.START)
            assert report.ok, f"{report}\n{self.log()}"
        self.until_running()
        self._heard = Path(self.specs[0].files.log).stat().st_size

    # -- the release

    def deploy(self, *topics: str) -> None:
        """Make a release current that reads these topics, without starting anything."""
        release = self.root / "releases" / str(len(list((self.root / "releases").iterdir())) + 1)
        release.mkdir()
        (release / "topics").write_text(" ".join(topics))
        link = self.root / "next"
        link.symlink_to(release)
        link.replace(self.root / "current")

    def create_topic(self, topic: str, partitions: int) -> None:
        """Make one more topic to read from."""
        self._kafka.create_topics({f"{self.name}-{topic}": partitions})

    # -- the traffic

    def traffic(self, rate: float, seconds: float = 600.0, *, topic: str = "in") -> None:
        """Send numbered messages from now on, in a thread."""
        from ops.reference.traffic import Traffic

        stream = Traffic(self.brokers, f"{self.name}-{topic}")
        self._streams.append(stream.stream)
        sender = threading.Thread(target=lambda stop=self._stop: self._sent.append(stream.run(rate, seconds, stop)))
        self._senders.append(sender)
        sender.start()

    def end_traffic(self, topic: str = "in") -> Any:
        """End it, wait until all is answered, and count what was sent to one topic since the lab was made afresh."""
        from ops.reference.tally import count

        self._stop.set()
        for sender in self._senders:
            sender.join(60)
        assert len(self._sent) == len(self._senders) > 0
        assert all(sent.failed == 0 for sent in self._sent)
        return count(self.brokers, f"{self.name}-{topic}", [f"{self.name}-out"], streams=self._streams)

    def quieten(self) -> None:
        """End the traffic and forget it."""
        self._stop.set()
        for sender in self._senders:
            sender.join(60)
        self._stop = threading.Event()
        for forgotten in (self._senders, self._sent, self._streams):
            forgotten.clear()

    def generation(self) -> int:
        """Return the group's generation as the processes tell it."""
        found = set()
        for report in self.ask(Verb.STATUS):
            assert report.consumer is not None
            found.add(report.consumer["groups"][self.name]["generation"])
        assert len(found) == 1
        return int(found.pop())

    def settled_generation(self) -> int:
        """Wait until all processes tell the same generation; a second process makes the first one join again."""

        def same() -> int:
            told = [report.consumer or {} for report in self.ask(Verb.STATUS)]
            groups = [one.get("groups", {}).get(self.name, {}) for one in told]
            found = {group.get("generation", -1) for group in groups if group.get("joined")}
            return found.pop() if len(found) == 1 and all(group.get("joined") for group in groups) else 0

        generation = Deadline(PATIENCE).poll(same, every=0.2)
        assert generation > 0
        return generation

    def close(self) -> None:
        """End everything."""
        self.quieten()
        end(self.root, self.agents)


class MakeHandoverLab(Protocol):
    """Makes a started lab; one that reads `more` topics than `in`; `keep` may put its processes under a manager."""

    def __call__(
        self,
        processes: int = 1,
        partitions: int = 2,
        *,
        more: tuple[str, ...] = (),
        keep: Callable[[HandoverLab], Keeping] = ...,
    ) -> HandoverLab: ...
