"""`fab` as a user types it, on hosts over real SSH: start, see, restart, stop, and what a bad host does to it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.sandbox.hosts import LocalFleet
from tests.labs.in_process import FABFILE, fab
from tests.labs.node_host import end
from tests.labs.parts import SSH, needs
from tests.labs.ssh_fleet import MakeHosts, started

FAB = str(Path(sysconfig.get_path("scripts")) / "fab")
# Says READY=1 after a moment and writes its environment; fails where a file of its host says so.
PROGRAM = """
import os, pathlib, socket, sys, time
print("one line of log", flush=True)
if pathlib.Path("fail").exists():
    sys.exit("this release is broken")
time.sleep(float(os.environ.get("SLOW", "0")))
address = os.environ["NOTIFY_SOCKET"]
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    manager.sendto(b"READY=1", "\\0" + address[1:] if address[0] == "@" else address)
while True:
    time.sleep(1)
"""


class Project:
    """A user's project: a fabfile of one line, a file of settings, a folder of its own on each host."""

    def __init__(self, folder: Path, fleet: LocalFleet) -> None:
        self.folder = folder
        self.fleet = fleet
        name = f"shop-{secrets.token_hex(4)}"
        self.roots = {one.name: one.files.deploy_to / name for one in fleet.hosts}
        (folder / "fabfile.py").write_text(FABFILE)
        self.write()
        for host in fleet.hosts:
            self.release(host.name, "1")

    def release(self, host: str, name: str) -> Path:
        """Make a release and point `current` to it."""
        root = self.roots[host]
        release = root / "releases" / name
        release.mkdir(parents=True, exist_ok=True)
        (release / "program.py").write_text(PROGRAM)
        link = root / "current"
        link.unlink(missing_ok=True)
        link.symlink_to(release)
        return release

    def write(self, **more: object) -> None:
        hosts = [
            {
                "host": host.name,
                "address": host.files.address,
                "port": host.files.port,
                "user": host.files.user,
                "deploy_to": str(self.roots[host.name]),
            }
            for host in self.fleet.hosts
        ]
        karafka = {
            "application": "shop",
            "deploy_to": "/nowhere",
            "command": [sys.executable, "program.py"],
            "agent_python": sys.executable,
            "known_hosts": str(self.fleet.known_hosts),
            "processes": 2,
            "stop_timeout_seconds": 5,
            "rollout": {"settle_seconds": 0},
            "stages": {"test": {"hosts": hosts}},
            **more,
        }
        data = {
            "load_ssh_configs": False,
            "connect_kwargs": {"look_for_keys": False, "allow_agent": False},
            "karafka": karafka,
        }
        (self.folder / "fabric.json").write_text(json.dumps(data))

    def argv(self, *arguments: str) -> list[str]:
        return [FAB, "-i", str(self.fleet.key), "-f", "fabric.json", *arguments]

    def fab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        done = fab(self.folder, "-i", str(self.fleet.key), *arguments, code=None)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def states(self, *options: str) -> dict[str, dict[str, Any]]:
        data = json.loads(self.fab("karafka.status", "--json", *options).stdout)
        return {f"{host['host']} {one['name']}": one for host in data["hosts"] for one in host["processes"]}

    def pids(self) -> dict[str, int]:
        """Return the pid of each process, as its pidfile has it."""
        return {
            f"{host} {path.stem}": int(path.read_text().split()[0])
            for host, root in self.roots.items()
            for path in sorted(root.glob("shared/tmp/pids/*.pid"))
        }

    def end(self) -> None:
        """End its processes, and mend what it did to the fleet."""
        for host in self.fleet.hosts:
            end(self.roots[host.name], ())
            if host.daemon is None:
                host.start()


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, run_owner: Identity) -> Iterator[LocalFleet]:
    """Two hosts that all tests of this module share."""
    with started(tmp_path_factory.mktemp("fleet"), 2, run_owner) as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, fleet: LocalFleet) -> Iterator[Project]:
    """A project of two processes on each of two hosts; nothing runs."""
    known = fleet.known_hosts.read_text()
    made = Project(tmp_path, fleet)
    yield made
    made.end()
    fleet.known_hosts.write_text(known)


@pytest.fixture(scope="module")
def at_work(tmp_path_factory: pytest.TempPathFactory, fleet: LocalFleet) -> Project:
    """A project whose processes those tests share that need running ones."""
    return Project(tmp_path_factory.mktemp("at_work"), fleet)


@pytest.fixture
def running(at_work: Project) -> Project:
    """The same as at its beginning, all of whose processes run."""
    at_work.write()
    for host in at_work.roots:
        at_work.release(host, "1")
    if [name for name, pid in at_work.pids().items() if Identity.of(pid)] != ALL:
        assert at_work.fab("karafka.start").returncode == 0
    return at_work


ALL = ["host1 karafka-0", "host1 karafka-1", "host2 karafka-0", "host2 karafka-1"]


def test_a_fleet_is_started_seen_restarted_and_stopped(project: Project) -> None:
    # Given nothing that runs
    done = project.fab("karafka.status")
    assert done.returncode == 3
    assert done.stdout.count("stopped") == 4
    # When it is started
    done = project.fab("karafka.start")
    # Then all processes are ready, and their progress was told on standard error
    assert done.returncode == 0, done.stderr
    assert "host1 karafka-0: ready (" in done.stderr
    before = project.states()
    assert list(before) == ALL
    assert {one["state"] for one in before.values()} == {"running"}
    assert {one["release"] for one in before.values()} == {"1"}
    # When it is started again
    done = project.fab("karafka.start")
    # Then nothing happens, and it says so
    assert done.returncode == 0
    assert done.stderr.count("already running") == 4
    assert project.pids() == {name: one["pid"] for name, one in before.items()}
    # When the lag of commands is asked for that tell no group
    done = project.fab("karafka.lag")
    # Then it says how to name one
    assert (done.returncode, done.stdout) == (2, "")
    assert ["--group" in done.stderr, "kafka.groups" in done.stderr] == [True, True]
    # When a new release is there and the fleet is restarted
    for host in ("host1", "host2"):
        project.release(host, "2")
    done = project.fab("karafka.restart", "--json")
    # Then every process is another one, of that release, one after the other
    assert done.returncode == 0, done.stderr
    after = project.states()
    assert {one["release"] for one in after.values()} == {"2"}
    assert all(after[name]["pid"] != before[name]["pid"] for name in ALL)
    told = [line.split(maxsplit=1)[1].split(":")[0] for line in done.stderr.splitlines() if ": ready (" in line]
    assert told == ALL
    assert json.loads(done.stdout)["verb"] == "restart"
    # When it is stopped
    done = project.fab("karafka.stop")
    # Then nothing runs any more
    assert done.returncode == 0
    assert {one["state"] for one in project.states().values()} == {"stopped"}


def test_options_choose_hosts_and_processes(project: Project) -> None:
    # When one process of one host is started
    done = project.fab("karafka.start", "--hosts", "host2", "--processes", "karafka-1")
    # Then that one runs alone
    assert done.returncode == 0, done.stderr
    assert [*project.pids()] == ["host2 karafka-1"]
    # And -H does the same as --hosts
    assert project.fab("-H", "host1", "karafka.start").returncode == 0
    # And status exits with the worst of what it was asked for
    running = [name for name, one in project.states().items() if one["state"] == "running"]
    assert running == ["host1 karafka-0", "host1 karafka-1", "host2 karafka-1"]
    assert project.fab("karafka.status", "--hosts", "host1").returncode == 0
    assert project.fab("karafka.status").returncode == 3


def test_a_killed_process_is_seen_and_mended(running: Project) -> None:
    # Given a fleet that runs
    before = running.pids()
    # When a process dies the hard way
    os.kill(before["host2 karafka-0"], signal.SIGKILL)
    # Then status says so
    done = running.fab("karafka.status")
    assert done.returncode == 1
    assert "dead" in done.stdout
    # And a start mends it, and leaves the others alone
    assert running.fab("karafka.start").returncode == 0
    after = running.states()
    assert {one["state"] for one in after.values()} == {"running"}
    assert [name for name in ALL if after[name]["pid"] != before[name]] == ["host2 karafka-0"]


def test_a_broken_release_stops_the_restart_and_shows_its_log(running: Project) -> None:
    # Given a fleet that runs, and a release that is broken on the first host
    before = running.pids()
    (running.release("host1", "broken") / "fail").touch()
    running.release("host2", "broken")
    # When it is restarted
    done = running.fab("karafka.restart")
    # Then the first process fails with its last words, and nobody else was touched
    assert done.returncode == 1
    assert "  | this release is broken" in done.stderr
    assert "host2: not attempted" in done.stdout
    after = running.pids()
    assert [name for name in ALL if after.get(name) != before[name]] == ["host1 karafka-0"]
    # And the command that goes on is said
    assert "to go on with the rest: fab test karafka.restart --outdated\n" in done.stderr
    # When current leads back, and what is outdated is restarted
    for host in running.roots:
        running.release(host, "1")
    planned = running.fab("karafka.restart", "--outdated", "--dry-run").stdout
    done = running.fab("karafka.restart", "--outdated", "--json")
    # Then that is the one that ended, as the plan said; nobody else is touched
    assert "outdated: host1 karafka-0: it is dead\nleft alone: 3 processes run what current leads to\n" in planned
    assert done.returncode == 0, done.stderr
    healed = running.pids()
    assert [name for name in ALL if healed[name] != before[name]] == ["host1 karafka-0"]
    evidence = json.loads(done.stdout)["evidence"]
    assert (evidence["summary"]["slots_done"], evidence["summary"]["slots"], evidence["summary"]["slots_kept"]) == (
        1,
        1,
        3,
    )
    kept = [slot["process"] for slot in evidence["slots"] if slot["message"] == "already on release 1"]
    assert sorted(kept) == ["karafka-0", "karafka-1", "karafka-1"]
    # And with nothing left to do nothing is done, and no rollout noted
    again = running.fab("karafka.restart", "--outdated")
    assert again.returncode == 0, again.stderr
    assert "nothing is outdated: 4 processes run what current leads to" in again.stderr
    assert running.pids() == healed
    last = json.loads(running.fab("karafka.history", "--json").stdout)["rollouts"][0]
    assert last["name"] == evidence["summary"]["name"]


def test_logs_are_shown_by_host_and_process(running: Project) -> None:
    # Given processes that have written something
    # When the logs are asked for
    done = running.fab("karafka.log", "--lines", "1")
    # Then each line says whose it is
    assert done.returncode == 0
    assert done.stdout == "".join(f"{name} | one line of log\n" for name in ALL)


def test_a_dead_host_hides_no_other(project: Project) -> None:
    # Given a host that is down
    project.fleet.hosts[1].stop()
    # When the fleet is started
    done = project.fab("karafka.start")
    # Then the other one is, and the exit code says that one could not be reached
    assert done.returncode == 4
    assert "host2 (" in done.stdout
    assert "refuses connections" in done.stdout
    # And status says so of its processes, and as JSON names the error
    done = project.fab("karafka.status", "--json")
    assert done.returncode == 4
    data = json.loads(done.stdout)
    states = [one["state"] for host in data["hosts"] for one in host["processes"]]
    assert states == ["running", "running", "unknown", "unknown"]
    assert "refuses connections" in data["hosts"][1]["error"]
    assert data["stage"] == "test"


def test_a_restart_touches_nothing_where_a_host_does_not_answer(project: Project) -> None:
    # Given a fleet that runs, and one host's SSH server down
    assert project.fab("karafka.start").returncode == 0
    before = {name: one["pid"] for name, one in project.states().items()}
    project.fleet.hosts[1].stop()
    # When it is restarted
    done = project.fab("karafka.restart")
    # Then nothing was, and the host, the reason and the way out are named
    assert done.returncode == 4
    assert "1 of 2 hosts do not answer, so that no process was touched" in done.stderr
    assert "host2 (" in done.stderr
    assert "refuses connections" in done.stderr
    assert "fab karafka.restart --reachable-only" in done.stderr
    assert "no process of this application" not in done.stdout + done.stderr
    own = {name: pid for name, pid in before.items() if name.startswith("host1")}
    assert {name: one["pid"] for name, one in project.states().items() if name in own} == own
    # And where it may be left out, the others are restarted, and the exit code tells of it all the same
    assert project.fab("karafka.restart", "--reachable-only").returncode == 4
    after = {name: one["pid"] for name, one in project.states().items() if name in own}
    assert all(after[name] not in (None, pid) for name, pid in own.items())


def test_without_the_host_that_keeps_the_lease_nothing_is_begun(project: Project) -> None:
    # Given the first host of the inventory is down
    project.fleet.hosts[0].stop()
    # When another one is to be started
    done = project.fab("karafka.start", "--hosts", "host2")
    # Then it is not, and the error says why, and the way out
    assert done.returncode == 4
    assert "refuses connections" in done.stderr
    assert "keeps the stage's lease" in done.stderr
    assert "put a living one first" in done.stderr
    assert [one["state"] for one in project.states().values()] == ["unknown", "unknown", "stopped", "stopped"]


@needs(SSH)
def test_an_unknown_host_key_stops_everything_before_a_word_is_said(project: Project) -> None:
    # Given hosts whose keys nobody knows
    project.fleet.known_hosts.write_text("")
    # When the fleet is started
    done = project.fab("karafka.start")
    # Then nothing was, and the command that adds the key can be pasted
    assert done.returncode == 4
    command = next(line for line in done.stderr.splitlines() if "ssh-keyscan" in line).split("add it: ")[1]
    host = project.fleet.hosts[0]
    subprocess.run(["sh", "-c", command], check=True, capture_output=True, timeout=30)
    assert host.public_key.split()[1] in project.fleet.known_hosts.read_text()
    # And after it that host is trusted
    assert project.fab("karafka.start", "--hosts", "host1").returncode == 0


def test_ctrl_c_in_the_middle_of_a_restart_says_what_was_done_and_what_was_not(running: Project) -> None:
    # Given a fleet that runs, and restarts that take their time
    before = running.pids()
    running.write(env={"SLOW": 1})
    with subprocess.Popen(
        running.argv("karafka.restart"),
        cwd=running.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        line = next(line for line in process.stderr if "host1 karafka-0: spawned" in line)
        assert line
        # When Ctrl-C comes while the first host works
        process.send_signal(signal.SIGINT)
        errors, output = process.stderr.read(), process.stdout.read()
    # Then that host is finished, the other one is not begun, and both are said
    assert process.returncode == 130
    assert "interrupted: finishing what has begun on host1" in errors
    assert "host1 karafka-1: ready (" in errors
    assert "host2: not attempted: interrupted" in output
    assert "to go on with the rest: fab test karafka.restart --hosts host2\n" in errors  # they are of one release
    assert "Traceback" not in errors
    after = running.states()
    changed = [name for name in ALL if after[name]["pid"] != before[name]]
    assert changed == ["host1 karafka-0", "host1 karafka-1"]
    assert {one["state"] for one in after.values()} == {"running"}


def test_an_operator_that_dies_leaves_no_process_half_restarted(running: Project) -> None:
    # Given a restart at work
    before = running.pids()
    running.write(env={"SLOW": 1})
    with subprocess.Popen(
        running.argv("karafka.restart", "--hosts", "host1"),
        cwd=running.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert any("host1 karafka-0: spawned" in line for line in process.stderr)
        # When the operator's machine is gone
        process.kill()
    # Then the host's agent finishes what it was asked for

    def finished() -> bool:
        now = running.pids()
        return all(now.get(name, before[name]) != before[name] for name in ALL[:2])

    assert Deadline(60).poll(finished)
    assert Deadline(60).poll(
        lambda: {one["state"] for one in running.states("--hosts", "host1").values()} == {"running"}, every=0.3
    )


def test_watch_renews_the_table_until_ctrl_c(project: Project) -> None:
    # When the table is watched off a terminal
    with subprocess.Popen(
        project.argv("karafka.status", "--watch"),
        cwd=project.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        headings = (line for line in process.stdout if line.startswith("HOST"))
        # Then one comes after the other
        assert next(headings)
        assert next(headings)
        # And Ctrl-C is its normal end
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.stderr.read()
    assert process.returncode == 0


def test_a_secret_of_an_env_file_stays_on_its_host(project: Project) -> None:
    # Given a host with an env file of its own
    root = project.roots["host1"]
    (root / "shared").mkdir(parents=True, exist_ok=True)
    (root / "shared" / "karafka.env").write_text("SECRET=hidden\n")
    (root / "shared" / "karafka.env").chmod(0o600)
    # When its processes are started and everything about them is shown
    done = project.fab("karafka.start", "--hosts", "host1")
    text = done.stdout + done.stderr + project.fab("karafka.config").stdout
    # Then the process has it, and nobody else does
    pid = project.pids()["host1 karafka-0"]
    assert b"SECRET=hidden" in Path(f"/proc/{pid}/environ").read_bytes()
    assert "hidden" not in text


def test_many_hosts_are_asked_side_by_side(tmp_path: Path, ssh_hosts: MakeHosts) -> None:
    # Given hosts that each need a second to answer
    project = Project(tmp_path, ssh_hosts(6))
    agent = tmp_path / "agent"
    agent.write_text(f'#!/bin/sh\nsleep 2\nexec {sys.executable} "$@"\n')
    agent.chmod(0o755)
    project.write(agent_python=str(agent))
    # When all of them are asked
    begun = time.monotonic()
    done = project.fab("karafka.status")
    # Then nobody waits for another one's turn
    assert done.returncode == 3
    assert time.monotonic() - begun < 6 * 2
