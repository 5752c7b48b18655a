"""Relays of numbered messages by hardened units of a systemd host."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from ops.core import section
from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.core.protocol import ProcessReport, Verb
from ops.core.states import State
from ops.sandbox.kafka import EmbeddedKafka
from ops.sandbox.nspawn import PYTHON, SystemdHost
from tests.labs.in_process import FABFILE, fab
from tests.labs.staying import Staying, end_agents

PATIENCE = 60.0
PARTITIONS = 4
# Each message is sent on with its number. A message that says so is held for good; a release does wrong what stands in
# the place of `at_import`.
APP = """
import os, time
from ops.consumer import App, Controller, Responder, topic
from tests.labs.staying import Staying, end_agents

NAME = os.environ["RELAY_NAME"]
{at_import}

class RelayController(Controller):
    def perform(self):
        while self.params.get("hold"):
            time.sleep(0.05)
        self.respond_with({{"stream": self.params["stream"], "sequence": self.params["sequence"]}})

class RelayResponder(Responder):
    topics = (topic(f"{{NAME}}-out"),)

    def respond(self, answer):
        self.respond_to(f"{{NAME}}-out", answer)

app = App(NAME)
app.topic(f"{{NAME}}-in", controller=RelayController, start_from_beginning=True)
"""
_numbers = itertools.count()


class UnitRelays:
    """An application of consumers on the host, and the project that `fab` runs in."""

    def __init__(self, folder: Path, host: SystemdHost, broker: EmbeddedKafka, processes: int, **more: Any) -> None:
        self.folder = folder
        self.host = host
        self.name = f"relays{next(_numbers)}"
        self.brokers = Brokers.at(broker.bootstrap)
        broker.create_topics({f"{self.name}-in": PARTITIONS, f"{self.name}-out": PARTITIONS})
        env = {"RELAY_NAME": self.name, **more.pop("env", {})}
        self.section = {
            "application": self.name,
            "deploy_to": f"/srv/{self.name}",
            "command": [PYTHON, "-m", "ops", "server"],
            "app": "relay:app",
            "agent_python": PYTHON,
            "known_hosts": str(host.known_hosts),
            "env": env,
            "processes": processes,
            "manager": "systemd",
            "start_timeout_seconds": 40,
            "stop_timeout_seconds": 10,
            "kafka": {"brokers": [broker.bootstrap]},
            "rollout": {"settle_seconds": 0},
            "stages": {"test": {"hosts": [{"host": "h1", "address": host.address, "user": "root"}]}},
            **more,
        }
        self.application = Staying(host, section.load(self.section))
        self.release("good")
        self.application.install()
        folder.mkdir(parents=True)
        (folder / "fabfile.py").write_text(FABFILE)
        keys = {"key_filename": str(host.key), "look_for_keys": False, "allow_agent": False}
        data = {"load_ssh_configs": False, "connect_kwargs": keys, "karafka": self.section}
        (folder / "fabric.json").write_text(json.dumps(data))

    def release(self, name: str, at_import: str = "") -> None:
        """Make a release current, without starting anything."""
        self.application.release(name, {"relay.py": APP.format(at_import=at_import)})

    def fab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = fab(self.folder, *arguments, code=None)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def status(self, index: int = 0) -> ProcessReport:
        return self.application.one(Verb.STATUS, index)

    def until(self, state: State, index: int = 0, *, other_than: int | None = None) -> ProcessReport:
        """Wait for a state, of another process than one."""
        last: list[ProcessReport] = []

        def reached() -> ProcessReport | None:
            last[:] = [self.status(index)]
            return last[0] if last[0].state is state and (last[0].pid or 0) != other_than else None

        report = Deadline(PATIENCE).poll(reached, every=0.1)
        assert report is not None, f"{last}\n{self.application.journal(index)}"
        return report

    def reboot(self) -> None:
        """Restart the host, and wait until it is back; agents that stay would keep it from going down."""
        end_agents()
        self.host.reboot()

    def start(self) -> None:
        """Start all processes, and wait until they agree on a generation and have all partitions among them."""
        for report in self.application.ask(Verb.START).processes:
            assert report.ok, f"{report}\n{self.application.journal()}"
        self.until_settled()

    def until_settled(self) -> int:
        """Wait until the group is as it stays; gives its generation."""

        def settled() -> int:
            groups = [self.group(index) for index in range(len(self.application.specs))]
            partitions = sum(len(some) for one in groups for some in one.get("assignment", {}).values())
            found = {one.get("generation", -1) for one in groups if one.get("joined")}
            together = len(found) == 1 and partitions == PARTITIONS and all(one.get("joined") for one in groups)
            return int(found.pop()) if together else 0

        generation = Deadline(PATIENCE).poll(settled, every=0.2)
        assert generation, self.application.journal()
        return generation

    def group(self, index: int = 0) -> dict[str, Any]:
        """Return what a process says of itself in the group."""
        consumer = self.status(index).consumer or {}
        found: dict[str, Any] = (consumer.get("groups") or {}).get(self.name, {})
        return found

    @contextmanager
    def traffic(self, rate: float = 30.0) -> Iterator[list[Any]]:
        """Send numbered messages meanwhile; afterwards the list has what was sent."""
        from ops.reference.traffic import Traffic

        stop, sent = threading.Event(), list[Any]()
        stream = Traffic(self.brokers, f"{self.name}-in", partitions=PARTITIONS)
        thread = threading.Thread(target=lambda: sent.append(stream.run(rate, 300.0, stop)))
        thread.start()
        try:
            yield sent
        finally:
            stop.set()
            thread.join(PATIENCE)
        assert sent, "the traffic failed"
        assert sent[0].failed == 0

    def tally(self) -> Any:
        """Count what became of all messages."""
        from ops.reference.tally import count

        return count(self.brokers, f"{self.name}-in", [f"{self.name}-out"])

    def hold(self) -> None:
        """Send one message that is never done."""
        from kafka import KafkaProducer

        producer = KafkaProducer(bootstrap_servers=list(self.brokers.addresses))
        producer.send(f"{self.name}-in", json.dumps({"hold": True, "stream": "held", "sequence": 0}).encode())
        producer.close()

    def close(self) -> None:
        units = [self.application.unit(index) for index in range(len(self.application.specs))]
        self.host.run("systemctl", "kill", "--signal=KILL", *units, check=False)
        self.host.run("systemctl", "stop", *units, check=False)
        self.host.run("systemctl", "reset-failed", *units, check=False)


class MakeUnitRelays(Protocol):
    """Makes installed applications: `relays_of(processes=2, deploy_to=...)`."""

    def __call__(self, processes: int = 1, **more: Any) -> UnitRelays: ...
