"""`inv start|status|restart|stop` on a developer's checkout and on a host of the fleet."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.shared import SharedKafka
from ops.sandbox.state import Status
from tests.labs import in_process
from tests.labs.refusing import refusing

BIN = Path(sys.executable).parent


def typed(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [BIN / "inv", *arguments], cwd=directory, capture_output=True, text=True, timeout=120, check=False
    )


def inv(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return in_process.inv(directory, *arguments, code=None)


def states(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [one["state"] for one in json.loads(done.stdout)["processes"]]


def test_a_new_project_runs_on_a_laptop_at_once(tmp_path: Path, kafka: SharedKafka) -> None:
    # Given a project just begun, its topics, and the settings pointed to a broker
    name = kafka.unique("laptop")
    begun = subprocess.run(
        [sys.executable, "-m", "ops", "init", ".", "--application", name], cwd=tmp_path, check=True, timeout=30,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "wrote   fabric.yaml" in begun.stdout
    kafka.create_topics({"hello": 2, "greeted": 1, f"{name}.dead": 1})
    settings = tmp_path / "fabric.yaml"
    text = settings.read_text().replace("localhost:9092", kafka.bootstrap).replace(".venv/bin/python", sys.executable)
    settings.write_text(text)
    try:
        # When it is started
        done = typed(tmp_path, "start", "--json")
        # Then both processes run, with their pidfiles below the project
        assert done.returncode == 0, done.stderr
        assert states(done) == ["running", "running"]
        assert sorted(path.name for path in (tmp_path / "tmp/pids").glob("*.pid")) == ["karafka-0.pid", "karafka-1.pid"]
        # And starting again changes nothing
        again = inv(tmp_path, "start")
        assert again.returncode == 0
        assert "already running" in again.stdout
        # And a process killed hard is dead with exit 1, until start mends it
        pid = json.loads(inv(tmp_path, "status", "--json").stdout)["processes"][0]["pid"]
        os.kill(pid, signal.SIGKILL)
        dead = inv(tmp_path, "status", "--json")
        assert (dead.returncode, states(dead)) == (1, ["dead", "running"])
        assert typed(tmp_path, "start", "--processes", "karafka-0").returncode == 0
        assert inv(tmp_path, "status").returncode == 0
        # And a restart gives every process a new pid
        before = [one["pid"] for one in json.loads(inv(tmp_path, "status", "--json").stdout)["processes"]]
        restarted = typed(tmp_path, "restart", "--json")
        after = [one["pid"] for one in json.loads(restarted.stdout)["processes"]]
        assert restarted.returncode == 0, restarted.stderr
        assert not set(before) & set(after)
    finally:
        stopped = typed(tmp_path, "stop", "--json")
    # And stop ends them all; status says so with exit 3
    assert stopped.returncode == 0, stopped.stderr
    assert states(stopped) == ["stopped", "stopped"]
    one = inv(tmp_path, "status", "--processes", "karafka-1", "--json")
    assert (one.returncode, states(one)) == (3, ["stopped"])
    # And a name that is none, or a live table for a program, is refused before anything is done
    for task in ("stop", "restart"):
        unknown = inv(tmp_path, task, "--processes", "karafka-7")
        assert unknown.returncode == 2
        assert "karafka-7" in unknown.stderr
    watched = inv(tmp_path, "status", "--watch", "--json")
    assert (watched.returncode, "--watch" in watched.stderr) == (2, True)


# Says READY=1; on TERM it waits for a file before it ends.
LINGERING = """
import os, pathlib, signal, socket, time
def end(*_):
    pathlib.Path("asked").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.02)
    os._exit(0)
signal.signal(signal.SIGTERM, end)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
    address = os.environ["NOTIFY_SOCKET"]
    manager.sendto(b"READY=1", "\\0" + address[1:] if address[0] == "@" else address)
while True:
    time.sleep(1)
"""


@pytest.fixture(scope="module")
def lingering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout with two processes that take their time to end."""
    folder = tmp_path_factory.mktemp("lingering")
    (folder / "program.py").write_text(LINGERING)
    (folder / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    command = json.dumps([sys.executable, "program.py"])
    (folder / "fabric.yaml").write_text(
        f"karafka:\n  application: linger\n  deploy_to: /nowhere\n  command: {command}\n  processes: 2\n"
        "  stop_timeout_seconds: 60\n  stages: {test: {hosts: [{host: h1}]}}\n"
    )
    yield folder
    (folder / "go").touch()
    inv(folder, "stop")


@pytest.mark.parametrize(
    ("signals", "code", "restarted"),
    [
        ([], 0, 2),  # its terminal goes
        ([signal.SIGTERM, signal.SIGTERM], 130, 1),
        ([signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGINT], 130, 1),
    ],
    ids=["session", "term", "ctrl-c"],
)
def test_a_restart_that_is_broken_off_between_stop_and_start_leaves_no_slot_empty(
    lingering: Path, signals: list[signal.Signals], code: int, restarted: int
) -> None:
    # Given processes at work, and a restart in a terminal that waits for the first one to end
    (lingering / "go").touch()
    assert inv(lingering, "restart").returncode == 0
    for name in ("go", "asked"):
        (lingering / name).unlink(missing_ok=True)
    before = [one["pid"] for one in json.loads(inv(lingering, "status", "--json").stdout)["processes"]]
    ours, theirs = pty.openpty()
    restart = subprocess.Popen(
        [BIN / "inv", "restart"], cwd=lingering, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    assert Deadline(30).poll((lingering / "asked").exists)
    # When its SSH session breaks, or it is asked to end more than once
    for number in signals:
        restart.send_signal(number)
        time.sleep(0.2)
    os.close(ours)
    time.sleep(0.2)
    (lingering / "go").touch()
    # Then what has begun is finished, and the exit code says how far it came
    assert restart.wait(60) == code
    now = json.loads(inv(lingering, "status", "--json").stdout)["processes"]
    assert [one["state"] for one in now] == ["running", "running"]
    assert sum(one["pid"] != was for one, was in zip(now, before, strict=True)) == restarted


def test_a_checkout_is_no_release_that_could_be_told_from_another(lingering: Path) -> None:
    # Given processes at work in a checkout, of which one has been stopped
    (lingering / "go").touch()
    assert inv(lingering, "restart").returncode == 0
    before = [one["pid"] for one in json.loads(inv(lingering, "status", "--json").stdout)["processes"]]
    assert inv(lingering, "stop", "--processes", "karafka-1").returncode == 0
    # When what is outdated is restarted
    done = inv(lingering, "restart", "--outdated", "--json")
    # Then both are, and it is said why
    assert done.returncode == 0, done.stderr
    assert "outdated: karafka-0: lingering" in done.stderr
    assert "is a folder and no link to a release" in done.stderr
    assert "outdated: karafka-1: it is stopped" in done.stderr
    assert not {one["pid"] for one in json.loads(done.stdout)["processes"]} & {None, *before}


@pytest.mark.soak
def test_a_host_of_the_fleet_knows_itself(sandbox: Status) -> None:
    # Given a host that is set up, and its release
    current = sandbox.directory / "hosts/host1/app/current"
    # When its status is asked there, without SSH
    done = inv(current, "status", "--json")
    # Then it answers under its own key and stage
    said = json.loads(done.stdout)
    assert (said["stage"], said["host"]) == ("sandbox", "host1"), done.stderr
    assert [one["name"] for one in said["processes"]] == ["karafka-0", "karafka-1"]
    # And what does not run is outdated, and what runs its release is not
    try:
        first, second = (inv(current, "restart", "--outdated", "--json") for _ in range(2))
    finally:
        assert inv(current, "stop").returncode == 0
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "outdated: karafka-0: it is stopped" in first.stderr
    assert "nothing is outdated" in second.stderr
    started, kept = (json.loads(done.stdout)["processes"] for done in (first, second))
    assert [one["pid"] for one in kept] == [one["pid"] for one in started]


def test_a_stop_whose_outcome_nobody_can_tell_exits_4(tmp_path: Path) -> None:
    # Given a foreign command that runs
    settings = {
        "karafka": {
            "application": "untold",
            "deploy_to": "/srv/untold",
            "command": ["sleep", "300"],
            "readiness": "alive",
            "processes": 1,
            "stages": {"test": {"hosts": [{"host": "web1"}]}},
        }
    }
    (tmp_path / "fabric.yaml").write_text(json.dumps(settings))
    (tmp_path / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    assert inv(tmp_path, "start").returncode == 0
    try:
        # When it is stopped where the kernel lets nobody hold on to a process
        argv = refusing("pidfd_open", "EPERM", str(BIN / "inv"), "stop")
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        # Then it exits as for what is unknown, and says why
        assert done.returncode == 4, done.stdout + done.stderr
        assert "pidfd_open: Operation not permitted" in done.stderr
        assert "unknown" in done.stdout
        assert inv(tmp_path, "status").returncode == 0
    finally:
        assert inv(tmp_path, "stop").returncode == 0


LAPTOP = """
karafka:
  application: billing
  deploy_to: /nowhere/billing
  command: sleep 60
  readiness: alive
{more}
  stages: {{production: {{hosts: [{{host: web1}}]}}}}
"""
AWAY = "kafka1.example.com:9092"
TAKING_PART = (
    ["start"], ["restart"], ["server", "--app", "a:b"], ["worker", "--app", "a:b"], ["produce", "topic"],
    ["dead", "--app", "a:b", "--replay"], ["dead", "--app", "a:b", "--discard", "all"],
)  # fmt: skip


@pytest.mark.parametrize("words", TAKING_PART, ids=" ".join)
def test_a_machine_that_is_none_of_the_fleet_takes_no_part_in_its_cluster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    # Given a laptop with a project whose settings name the fleet's brokers
    monkeypatch.delenv("KARAFKA_BROKERS", raising=False)
    (tmp_path / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    (tmp_path / "fabric.yaml").write_text(LAPTOP.format(more=f"  kafka: {{brokers: ['{AWAY}']}}"))
    # Then what would read, write or commit there is refused
    refused = in_process.inv(tmp_path, *words, code=2)
    assert f"would take part in the cluster at {AWAY}" in refused.stderr
    assert "KARAFKA_BROKERS=" in refused.stderr


def test_brokers_of_the_fleet_are_refused_whoever_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a laptop, and brokers in the processes' environment, or in the file of their secrets
    monkeypatch.delenv("KARAFKA_BROKERS", raising=False)
    (tmp_path / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
    (tmp_path / "fabric.yaml").write_text(LAPTOP.format(more=f"  env: {{KARAFKA_BROKERS: '{AWAY}'}}"))
    assert "karafka.env.KARAFKA_BROKERS: this machine is none" in in_process.inv(tmp_path, "start", code=2).stderr
    (tmp_path / "fabric.yaml").write_text(LAPTOP.format(more=""))
    (tmp_path / "karafka.env").write_text(f"KARAFKA_BROKERS={AWAY}\n")
    (tmp_path / "karafka.env").chmod(0o600)
    assert "karafka.env: KARAFKA_BROKERS: this machine is none" in in_process.inv(tmp_path, "start", code=2).stderr
    # Then those of the file, which win over the shell's, are refused with that, too
    monkeypatch.setenv("KARAFKA_BROKERS", "localhost:9092")
    assert "take it out of that file" in in_process.inv(tmp_path, "start", code=2).stderr
    # And brokers that the shell names are meant
    monkeypatch.setenv("KARAFKA_BROKERS", AWAY)
    in_process.inv(tmp_path, "start")
    in_process.inv(tmp_path, "stop")
