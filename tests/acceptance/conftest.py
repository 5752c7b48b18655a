"""A project of a test's own: relays of numbered messages on hosts behind real SSH, on a real broker, and `fab`."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.sandbox.census import end_all, guard
from ops.sandbox.hosts import LocalFleet
from ops.sandbox.nspawn import PYTHON, USER, SystemdHost

if TYPE_CHECKING:  # kafka-python warns at its import, before pytest is told to ignore it
    from ops.reference.tally import Tally
    from ops.reference.traffic import Sent

FAB = str(Path(sysconfig.get_path("scripts")) / "fab")
PATIENCE = 90.0
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


class Broker(Protocol):
    """What a project needs of a broker."""

    bootstrap: str

    def create_topics(self, partitions: dict[str, int], /) -> None: ...


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
        (folder / "fabfile.py").write_text("from ops.fleet.tasks import namespace as ns\n")
        self.settings()
        self.release("good")

    # -- the project

    def root(self, host: str) -> Path:
        """Give the application's folder on a host."""
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

    def _host(self, host: Any) -> dict[str, object]:
        files = host.files
        reached = {"address": files.address, "port": files.port, "user": files.user}
        return {"host": host.name, **reached, "deploy_to": str(self.root(host.name))}

    # -- its commands

    def _argv(self, *arguments: str) -> list[str]:
        return [FAB, "-i", str(self.fleet.key), "-f", "fabric.json", *arguments]

    def fab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        done = subprocess.run(
            self._argv(*arguments), cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=170, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        return done

    @contextmanager
    def operator(self, *arguments: str) -> Iterator[Operator]:
        """Run a command beside the test."""
        with Operator(self._argv(*arguments), self.folder) as operator:
            yield operator

    def states(self) -> dict[str, dict[str, Any]]:
        """Give what status says of each process."""
        data = json.loads(self.fab("karafka.status", "--json").stdout)
        return {f"{host['host']} {one['name']}": one for host in data["hosts"] for one in host["processes"]}

    def pids(self) -> dict[str, int]:
        """Give the pid of each process, as its pidfile has it."""
        return {
            f"{host.name} karafka-0": int(
                (self.root(host.name) / "shared/tmp/pids/karafka-0.pid").read_text().split()[0]
            )
            for host in self.hosts
        }

    def releases(self) -> dict[str, str]:
        """Give the release that the living process of each slot runs in."""
        return {name: Path(f"/proc/{pid}/cwd").resolve(strict=True).name for name, pid in self.pids().items()}

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
        """Give what each process says of itself in the group."""
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
    def traffic(self, rate: float = 60.0) -> Iterator[list[Sent]]:
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


class Operator:
    """A command at work, and what it says."""

    def __init__(self, argv: list[str], folder: Path) -> None:
        self.process = subprocess.Popen(
            argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        self.out, self.err = "", ""
        self._readers = [threading.Thread(target=self._read, args=(name,)) for name in ("out", "err")]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join(PATIENCE)

    def until(self, text: str) -> None:
        """Wait until it has said something on standard error."""
        assert Deadline(PATIENCE).poll(lambda: text in self.err or self.process.poll() is not None), self.err
        assert text in self.err, self.err

    def end(self) -> int:
        """Wait for its end; gives the exit code."""
        code = self.process.wait(170)
        for reader in self._readers:
            reader.join(PATIENCE)
        assert "Traceback" not in self.err, self.err
        return code

    def _read(self, name: str) -> None:
        stream = self.process.stdout if name == "out" else self.process.stderr
        assert stream is not None
        with stream:
            for line in stream:
                setattr(self, name, getattr(self, name) + line)


@pytest.fixture(scope="session")
def relay_app() -> str:
    """The text of a relay's app, with places for `at_import` and `at_message`."""
    return APP


@pytest.fixture(scope="module")
def relays_of(
    tmp_path_factory: pytest.TempPathFactory, run_owner: Identity
) -> Iterator[Callable[[Broker, str], Relays]]:
    """Make projects on two SSH hosts that all tests of a module share: `relays_of(broker, name)`."""
    directory = tmp_path_factory.mktemp("relays")
    fleet = LocalFleet(directory / "fleet", 2)
    fleet.start()
    guard(fleet.directory, run_owner)
    yield lambda broker, name: Relays(directory / name, fleet, broker, name)
    end_all(fleet.directory, timeout_seconds=0)


# Says READY=1, and writes a line for each file that is put beside it.
CHATTY = """
import os, pathlib, socket, time
address = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", "\\0" + address[1:] if address[0] == "@" else address)
said = set()
while True:
    for path in sorted(pathlib.Path("../../shared/say").glob("*")):
        if path.name not in said:
            said.add(path.name)
            print(path.name, flush=True)
    time.sleep(0.02)
"""


class Project:
    """A user's project of a plain program.

    Parameters
    ----------
    key, known_hosts : of the hosts.
    own : its settings, which tests may change.
    """

    def __init__(self, folder: Path, key: Path, known_hosts: Path, **own: Any) -> None:
        self.folder = folder
        self.own = {"known_hosts": str(known_hosts), "stop_timeout_seconds": 5, "rollout": {"settle_seconds": 0}, **own}
        self._keys = {"look_for_keys": False, "allow_agent": False, "key_filename": [str(key)]}
        folder.mkdir(parents=True)
        (folder / "fabfile.py").write_text("from ops.fleet.tasks import namespace as ns\n")
        self.settings()

    def settings(self, **more: Any) -> None:
        """Write the settings."""
        data = {"load_ssh_configs": False, "connect_kwargs": self._keys, "karafka": {**self.own, **more}}
        (self.folder / "fabric.json").write_text(json.dumps(data))

    def fab(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which is to have this exit code; None for any."""
        done = subprocess.run(
            [FAB, "-f", "fabric.json", *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert code in (None, done.returncode), (done.returncode, done.stdout, done.stderr)
        return done

    def operator(self, *arguments: str) -> Operator:
        """Run a command beside the test."""
        return Operator([FAB, "-f", "fabric.json", *arguments], self.folder)


class Shop(Project):
    """Plain processes, one on each of the fleet's hosts, whose logrotate reads a folder of the test's own.

    Attributes
    ----------
    rules : that folder, the same for all hosts.
    """

    def __init__(self, folder: Path, fleet: LocalFleet) -> None:
        self.fleet = fleet
        self.rules = folder / "logrotate.d"
        for host in fleet.hosts:
            root = host.files.deploy_to
            (root / "releases/1").mkdir(parents=True)
            (root / "releases/1/program.py").write_text(CHATTY)
            (root / "current").symlink_to(root / "releases/1")
        places = [
            {"host": one.name, "address": one.files.address, "port": one.files.port, "user": one.files.user,
             "deploy_to": str(one.files.deploy_to)} for one in fleet.hosts
        ]  # fmt: skip
        super().__init__(
            folder,
            fleet.key,
            fleet.known_hosts,
            application="shop",
            deploy_to="/nowhere",
            command=[sys.executable, "program.py"],
            agent_python=sys.executable,
            logrotate_d=str(self.rules),
            stages={"test": {"hosts": places}},
        )

    def say(self, host: int, text: str) -> None:
        """Let the processes of a host write a line."""
        folder = self.fleet.hosts[host].files.deploy_to / "shared/say"
        folder.mkdir(exist_ok=True)
        (folder / text).touch()

    def log(self, host: int) -> Path:
        """Give the log of a host's process."""
        return self.fleet.hosts[host].files.deploy_to / "shared/log/karafka-0.log"


class UnitShop(Project):
    """Two processes by units of one systemd host.

    Parameters
    ----------
    user : whom SSH logs in as.

    Attributes
    ----------
    root : the application's folder there.
    """

    def __init__(self, folder: Path, host: SystemdHost, application: str, user: str, **more: Any) -> None:
        self.host = host
        self.root = f"/srv/{application}"
        host.run("install", "-d", "-o", USER, "-g", USER, self.root)
        for name in ("releases/1", "shared/say"):
            host.run("mkdir", "-p", f"{self.root}/{name}", user=USER)
        host.run("ln", "-sfn", f"{self.root}/releases/1", f"{self.root}/current", user=USER)
        host.write(f"{self.root}/releases/1/program.py", CHATTY, user=USER)
        own = {
            "application": application,
            "deploy_to": self.root,
            "command": [PYTHON, "program.py"],
            "agent_python": PYTHON,
            "manager": "systemd",
            "processes": 2,
            "stages": {"test": {"hosts": [{"host": "web1", "address": host.address, "user": user}]}},
        }
        super().__init__(folder, host.key, host.known_hosts, **{**own, **more})

    def pids(self) -> list[int]:
        """Give the pid of each process, as its pidfile has it."""
        return [int(self.text(f"{self.root}/shared/tmp/pids/karafka-{one}.pid").split()[0]) for one in (0, 1)]

    def say(self, text: str) -> None:
        """Let the processes write a line."""
        self.host.run("touch", f"{self.root}/shared/say/{text}", user=USER)

    def text(self, path: str) -> str:
        """Read a file of the host."""
        return self.host.run("cat", path).stdout

    def there(self, path: str) -> bool:
        """Whether the host has a file."""
        return self.host.run("test", "-e", path, check=False).returncode == 0


@pytest.fixture
def shop(tmp_path: Path, ssh_hosts: Callable[..., LocalFleet]) -> Shop:
    """A project of one process on each of two hosts."""
    return Shop(tmp_path / "shop", ssh_hosts(2))


@pytest.fixture
def unit_shop(tmp_path: Path, systemd_host: SystemdHost) -> Callable[..., UnitShop]:
    """Make projects on the systemd host: `unit_shop("shop", "root", processes=1)`."""
    return lambda application, user, **more: UnitShop(tmp_path / application, systemd_host, application, user, **more)


# Says READY=1 and stands still, or does what a release's `mode` says: `exit` ends at once.
STANDING = """
import os, pathlib, socket, sys, time
if pathlib.Path("mode").read_text().strip() == "exit":
    sys.exit("this release is broken")
address = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", "\\0" + address[1:] if address[0] == "@" else address)
while True:
    time.sleep(60)
"""


class Yard:
    """A user's project whose releases come from a git repository, or are built artifacts; its hosts are behind SSH.

    Attributes
    ----------
    source : the repository's working tree.
    """

    def __init__(self, folder: Path, fleet: LocalFleet) -> None:
        self.folder = folder
        self.fleet = fleet
        self.source = folder / "source"
        self.hosts = {one.name: one.files.deploy_to for one in fleet.hosts}
        self.source.mkdir(parents=True)
        (folder / "fabfile.py").write_text("from ops.fleet.tasks import namespace as ns\n")
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit("first")
        self.settings()

    def settings(self, **more: Any) -> None:
        """Write the settings: no build step unless the test says so."""
        places = [
            {"host": one.name, "address": one.files.address, "port": one.files.port, "user": one.files.user,
             "deploy_to": str(one.files.deploy_to)} for one in self.fleet.hosts
        ]  # fmt: skip
        karafka = {
            "application": "yard",
            "deploy_to": "/nowhere",
            "command": [sys.executable, "program.py"],
            "agent_python": sys.executable,
            "known_hosts": str(self.fleet.known_hosts),
            "stop_timeout_seconds": 5,
            "start_timeout_seconds": 10,
            "rollout": {"settle_seconds": 0},
            "repo_url": str(self.source),
            "build": False,
            "connect_timeout_seconds": 5,
            "stages": {"test": {"hosts": places}},
            **more,
        }
        keys = {"look_for_keys": False, "allow_agent": False, "key_filename": [str(self.fleet.key)]}
        data = {"load_ssh_configs": False, "connect_kwargs": keys, "karafka": karafka}
        (self.folder / "fabric.json").write_text(json.dumps(data))

    def git(self, *words: str) -> str:
        """Run git in the source."""
        who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.com"]
        done = subprocess.run(
            ["git", *who, *words], cwd=self.source, capture_output=True, text=True, timeout=30, check=True
        )
        return done.stdout.strip()

    def commit(self, mode: str) -> str:
        """Make a commit whose release has this mode; gives its SHA."""
        (self.source / "program.py").write_text(STANDING)
        (self.source / "mode").write_text(f"{mode}\n")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", mode)
        return self.git("rev-parse", "HEAD")

    def hook(self, name: str, text: str) -> Path:
        """Put an executable hook there."""
        path = self.folder / ".karafka" / "hooks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    def argv(self, *arguments: str) -> list[str]:
        """Give the argv of a command."""
        return [FAB, "-f", "fabric.json", *arguments]

    def fab(self, *arguments: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, which is to have this exit code; None for any."""
        done = subprocess.run(
            self.argv(*arguments), cwd=self.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr, done.stderr
        assert code in (None, done.returncode), (done.returncode, done.stdout, done.stderr)
        return done

    def operator(self, *arguments: str) -> Operator:
        """Run a command beside the test."""
        return Operator(self.argv(*arguments), self.folder)

    def current(self) -> dict[str, str]:
        """Give the release that `current` leads to on each host; empty for none."""
        links = {name: root / "current" for name, root in self.hosts.items()}
        return {name: link.readlink().name if link.is_symlink() else "" for name, link in links.items()}

    def running(self) -> dict[str, str]:
        """Give the release that the living process of each host works in."""
        pids = {
            name: int((root / "shared/tmp/pids/karafka-0.pid").read_text().split()[0])
            for name, root in self.hosts.items()
        }
        return {name: Path(f"/proc/{pid}/cwd").resolve(strict=True).name for name, pid in pids.items()}

    def only(self) -> str:
        """Give the one release that is current and works everywhere."""
        found = {*self.current().values(), *self.running().values()}
        assert len(found) == 1, (self.current(), self.running())
        return found.pop()


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[Yard]:
    """A project of three SSH hosts that all tests of a module share."""
    directory = tmp_path_factory.mktemp("yard")
    fleet = LocalFleet(directory / "fleet", 3)
    fleet.start()
    guard(fleet.directory, run_owner)
    yield Yard(directory / "project", fleet)
    end_all(fleet.directory, timeout_seconds=0)
