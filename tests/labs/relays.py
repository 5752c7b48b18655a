"""A project of relays of numbered messages, on hosts behind real SSH and a real broker."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ops.core import pidfile
from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.sandbox.host import LocalHost
from ops.sandbox.hosts import LocalFleet
from tests.labs.brokers import Broker

if TYPE_CHECKING:  # kafka-python warns at its import, before pytest is told to ignore it
    from ops.reference.tally import Tally
    from ops.reference.traffic import Sent
from tests.labs.in_process import FABFILE, fab
from tests.labs.operators import FAB, PATIENCE, Operator

PARTITIONS = 4
# Each message is sent on with its number. What a release does wrong stands in its place; a replacement waits at its
# import for as long as there is a file named `hang` on its host.
APP = """
import os, pathlib, threading, time
from ops.consumer import App, Controller, Responder, topic

NAME = os.environ["RELAY_NAME"]
HOST = pathlib.Path.cwd().parents[1]

if "KARAFKA_STANDBY" in os.environ and (HOST / "hang").exists():
    (HOST / "hanging").touch()
    while (HOST / "hang").exists():
        time.sleep(0.01)

{at_import}

class RelayController(Controller):
    def perform(self):
        {at_message}
        self.respond_with({{"stream": self.params["stream"], "sequence": self.params["sequence"]}})

class RelayResponder(Responder):
    topics = (topic(f"{{NAME}}-out"),)

    def respond(self, answer):
        self.respond_to(f"{{NAME}}-out", answer)

app = App(NAME)
app.topic(f"{{NAME}}-in", controller=RelayController, start_from_beginning=True)
"""


class Relays:
    """A user's project of two hosts with one process each.

    Attributes
    ----------
    name : of the application and its consumer group; its topics are `<name>-in` and `<name>-out`.
    bootstrap : of the broker.
    slots : as status and pids name them.
    """

    def __init__(self, folder: Path, fleet: LocalFleet, broker: Broker, name: str) -> None:
        self.folder = folder
        self.fleet = fleet
        self.name = name
        self.brokers = Brokers.at(broker.bootstrap)
        self.hosts = fleet.hosts
        self.slots = [f"{host.name} karafka-0" for host in self.hosts]
        self.bootstrap = broker.bootstrap
        broker.create_topics({f"{name}-in": PARTITIONS, f"{name}-out": PARTITIONS})
        folder.mkdir(parents=True)
        (folder / "fabfile.py").write_text(FABFILE)
        self.settings()
        self.release("good")

    # -- the project

    def root(self, host: str) -> Path:
        """Return the application's folder on a host."""
        return next(one.files.deploy_to for one in self.hosts if one.name == host) / self.name

    def release(self, name: str, at_import: str = "", at_message: str = "pass", **files: str) -> None:
        """Make a release on all hosts and point `current` to it; `files` are further modules of it."""
        for host in self.hosts:
            release = self.root(host.name) / "releases" / name
            release.mkdir(parents=True, exist_ok=True)
            (release / "relay.py").write_text(APP.format(at_import=at_import, at_message=at_message))
            for module, text in files.items():
                (release / f"{module}.py").write_text(text)
            current = self.root(host.name) / "current"
            current.unlink(missing_ok=True)
            current.symlink_to(release)

    def settings(self, rollout: dict[str, Any] | None = None, env: dict[str, str] | None = None, **more: Any) -> None:
        """Write the settings; a rollout's first batch is not watched unless the test says so."""
        karafka = {
            "application": self.name,
            "deploy_to": "/nowhere",
            "command": [sys.executable, "-m", "ops", "server"],
            "app": "relay:app",
            "agent_python": sys.executable,
            "known_hosts": str(self.fleet.known_hosts),
            "env": {"RELAY_NAME": self.name, **(env or {})},
            "start_timeout_seconds": 45,
            "stop_timeout_seconds": 5,
            "kafka": {"brokers": [self.bootstrap]},
            "rollout": {"settle_seconds": 0, **(rollout or {})},
            "stages": {"test": {"hosts": [self._host(one) for one in self.hosts]}},
            **more,
        }
        data = {
            "load_ssh_configs": False,
            "connect_kwargs": {"look_for_keys": False, "allow_agent": False},
            "karafka": {key: value for key, value in karafka.items() if value is not None},
        }
        (self.folder / "fabric.json").write_text(json.dumps(data))

    def _host(self, host: LocalHost) -> dict[str, object]:
        files = host.files
        reached = {"address": files.address, "port": files.port, "user": files.user}
        return {"host": host.name, **reached, "deploy_to": str(self.root(host.name))}

    # -- its commands

    def _argv(self, *arguments: str) -> list[str]:
        return [FAB, "-i", str(self.fleet.key), "-f", "fabric.json", *arguments]

    def fab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = fab(self.folder, "-i", str(self.fleet.key), *arguments, code=None)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    @contextmanager
    def operator(self, *arguments: str) -> Iterator[Operator]:
        """Run a command beside the test."""
        with Operator(self._argv(*arguments), self.folder) as operator:
            yield operator

    def states(self) -> dict[str, dict[str, Any]]:
        """Return what status says of each process."""
        data = json.loads(self.fab("karafka.status", "--json").stdout)
        return {f"{host['host']} {one['name']}": one for host in data["hosts"] for one in host["processes"]}

    def pids(self) -> dict[str, int]:
        """Return the pid of each process, as its pidfile has it."""
        return {f"{one.name} karafka-0": int(self._pidfile(one.name).read_text().split()[0]) for one in self.hosts}

    def _pidfile(self, host: str) -> Path:
        return self.root(host) / "shared/tmp/pids/karafka-0.pid"

    def releases(self) -> dict[str, str]:
        """Return the release that the living process of each slot runs in."""
        return {name: Path(f"/proc/{pid}/cwd").resolve(strict=True).name for name, pid in self.pids().items()}

    def living(self) -> dict[str, tuple[int, str]]:
        """Return pid and release of the processes that live, by slot."""
        records = {f"{one.name} karafka-0": pidfile.read(self._pidfile(one.name)) for one in self.hosts}
        return {
            name: (one.pid, Path(f"/proc/{one.pid}/cwd").resolve(strict=True).name)
            for name, one in records.items()
            if one is not None and one.alive()
        }

    def start(self) -> dict[str, int]:
        """Start all processes and wait until the group is as it stays; gives their pids."""
        done = self.fab("karafka.start")
        assert done.returncode == 0, done.stdout + done.stderr
        assert Deadline(PATIENCE).poll(self._settled, every=0.2), self.states()
        return self.pids()

    def until_busy(self, messages: int = 20) -> None:
        """Wait until every process has worked on some messages since its start."""
        assert Deadline(PATIENCE).poll(
            lambda: min(one.get("processed", 0) for one in self._groups()) >= messages, every=0.1
        )

    def _settled(self) -> bool:
        """Whether the processes agree on a generation and have all partitions among them."""
        groups = self._groups()
        partitions = sum(len(some) for one in groups for some in one.get("assignment", {}).values())
        same = len({one.get("generation") for one in groups}) == 1
        return same and partitions == PARTITIONS and all(one.get("joined") for one in groups)

    def _groups(self) -> list[dict[str, Any]]:
        """Return what each process says of itself in the group."""
        return [(self._record(host.name).get("groups") or {}).get(self.name, {}) for host in self.hosts]

    def _record(self, host: str) -> dict[str, Any]:
        path = self.root(host) / "shared/tmp/slots/karafka-0.status"
        record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        return record

    # -- the middle of a rollout

    def hang(self, host: str) -> None:
        """Let the next replacement of a host wait at its import; the old process works on meanwhile."""
        (self.root(host) / "hanging").unlink(missing_ok=True)
        (self.root(host) / "hang").touch()

    def until_hanging(self, host: str) -> None:
        """Wait until a replacement does."""
        assert Deadline(PATIENCE).poll((self.root(host) / "hanging").exists), f"nobody came to hang on {host}"

    def go_on(self, host: str) -> None:
        """Let it go on."""
        (self.root(host) / "hang").unlink()

    # -- its messages

    @contextmanager
    def traffic(self, rate: float = 30.0) -> Iterator[list[Sent]]:
        """Send numbered messages meanwhile; afterwards the list has what was sent."""
        from ops.reference.traffic import Traffic

        stop, sent = threading.Event(), list[Any]()
        stream = Traffic(self.brokers, f"{self.name}-in")
        thread = threading.Thread(target=lambda: sent.append(stream.run(rate, 600.0, stop)))
        thread.start()
        try:
            yield sent
        finally:
            stop.set()
            thread.join(PATIENCE)
        assert sent, "the traffic failed"
        assert sent[0].failed == 0

    def tally(self, sent: list[Sent]) -> Tally:
        """Count what became of messages that were sent."""
        from ops.reference.tally import count

        return count(self.brokers, f"{self.name}-in", [f"{self.name}-out"], streams=[one.stream for one in sent])


class MakeRelays(Protocol):
    """Makes projects on the SSH hosts that all tests of a module share."""

    def __call__(self, broker: Broker, name: str) -> Relays: ...
