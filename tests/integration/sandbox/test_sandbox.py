"""A sandbox comes up ready to use, heals what was killed, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient

from ops.core import section
from ops.core.deadline import Deadline
from ops.core.errors import LockHeldError, OpsError, UsageError
from ops.core.identity import Identity
from ops.sandbox.census import end_all, guard, members
from ops.sandbox.lockfile import locked_directory
from ops.sandbox.sandbox import CONSUMED, DEAD_LETTERS, PRODUCED, down, status, up
from tests.labs.parts import SSH, require

pytestmark = [pytest.mark.kafka, pytest.mark.ssh]
UP = "import sys; from pathlib import Path; from ops.sandbox.sandbox import up; up(Path(sys.argv[1]), hosts=2)"


@pytest.fixture
def directory(tmp_path: Path, run_owner: Identity) -> Iterator[Path]:
    """Where a sandbox of the test's own may be; whatever a failing test leaves there is ended."""
    path = tmp_path / "box"
    (tmp_path / "guard").mkdir()
    guard(tmp_path / "guard", run_owner)
    yield path
    end_all(tmp_path, timeout_seconds=0)


def test_a_sandbox_killed_on_the_way_up_or_without_its_broker_is_made_anew_and_goes_without_a_trace(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a sandbox whose `up` was killed before it was done
    coming = _start_up(directory)
    assert Deadline(90).poll((directory / "kafka" / "kafka.pid").exists)
    coming.kill()
    coming.wait(10)
    left = members(directory)
    assert left
    assert not status(directory).up

    # When it is brought up again
    with monkeypatch.context() as patch:
        patch.setattr("ops.sandbox.sandbox._PARTITIONS", 1)  # nobody looks at them, and each costs its time
        first = up(directory, hosts=1)

    # Then it runs, and the old broker doesn't; nothing of it, its key among it, is git's
    assert first.up
    assert (directory / ".gitignore").read_text() == "*\n"
    assert not any(one.alive() for one in left)

    # When its broker is killed, then status tells it
    broker = next(one for one in members(directory) if "kafka.Kafka" in psutil.Process(one.pid).cmdline())
    os.kill(broker.pid, signal.SIGKILL)
    assert Deadline(10).poll(lambda: not broker.alive())
    assert dict(status(directory).parts) == {"kafka": False, "remote": True, "host1": True}

    # And up heals it: all of it runs, and its settings are valid
    begun = up(directory, hosts=2, processes=3)
    assert begun.bootstrap != first.bootstrap or begun.hosts != first.hosts
    assert begun.up
    assert begun.began
    document = _yaml(directory / "fabric.yaml")
    settings = section.load(document["karafka"])
    assert [one.host for one in settings.hosts] == ["host1", "host2"]
    assert settings.kafka.brokers == (begun.bootstrap,)
    assert settings.processes == 3
    assert settings.env["KARAFKA_BROKERS"] == begun.bootstrap
    assert json.loads(json.dumps(begun.data()))["config"] == str(directory / "fabric.yaml")

    # And topics and releases are laid out
    admin = KafkaAdminClient(bootstrap_servers=begun.bootstrap)
    found = {
        one["name"]: len(one["partitions"]) for one in admin.describe_topics([*CONSUMED, *PRODUCED, *DEAD_LETTERS])
    }
    admin.close()
    assert {found[name] for name in CONSUMED} == {12}
    for host in settings.hosts:
        assert host.deploy_to is not None
        current = Path(host.deploy_to) / "current"
        assert current.is_symlink()
        assert current.resolve().parent.name == "releases"
        assert (Path(host.deploy_to) / "shared" / "tmp" / "pids").is_dir()

    # When it is brought up again
    again = up(directory)

    # Then it is the same one
    assert not again.began
    assert (again.bootstrap, again.hosts) == (begun.bootstrap, begun.hosts)

    # When a consumer was started on a host and it is brought down
    require(SSH)
    log_in = _ssh(begun.hosts[0], directory)
    subprocess.run([*log_in, "setsid sleep 400 >/dev/null 2>&1 </dev/null &"], check=True, timeout=20)
    assert Deadline(5).poll(lambda: _sleeping(directory))
    # And another one with nothing but the environment that the settings give it
    consumer = subprocess.Popen(
        ["sleep", "400"], env={name: str(value) for name, value in settings.env.items()}, start_new_session=True
    )
    assert down(directory)
    assert consumer.wait(5) == -signal.SIGTERM

    # Then nothing is left
    assert not directory.exists()
    assert members(directory) == []
    assert not status(directory).up
    assert not down(directory)


def test_ctrl_c_on_the_way_up_ends_all_that_was_started(directory: Path) -> None:
    # Given a sandbox that is coming up: its broker's process is there
    coming = _start_up(directory)
    assert Deadline(90).poll((directory / "kafka" / "kafka.pid").exists)

    # When Ctrl-C is pressed
    coming.send_signal(signal.SIGINT)

    # Then the command ends and leaves nothing
    assert coming.wait(30) != 0
    assert members(directory) == []
    assert not directory.exists()


def test_a_folder_that_is_no_sandbox_is_left_alone(directory: Path) -> None:
    directory.mkdir()
    (directory / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="no sandbox"):
        up(directory)
    assert not down(directory)
    assert (directory / "thesis.txt").read_text() == "years of work"


def test_impossible_wishes_are_refused_before_anything_starts(directory: Path) -> None:
    for wish in ({"hosts": 0}, {"hosts": 1000}, {"processes": 0}):
        with pytest.raises(UsageError):
            up(directory, **wish)
    assert not directory.exists()


def test_two_commands_on_one_sandbox_wait_for_each_other(tmp_path: Path) -> None:
    with locked_directory(tmp_path / "box", Deadline(1)):
        with pytest.raises(LockHeldError), locked_directory(tmp_path / "box", Deadline(0.1)):
            pass
        (tmp_path / "box").rmdir()
    with locked_directory(tmp_path / "box", Deadline(1)):
        assert (tmp_path / "box").is_dir()


def test_a_part_that_cannot_start_ends_the_others(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given an SSH server that ends at once
    monkeypatch.setattr("ops.sandbox.sandbox._PARTITIONS", 1)
    monkeypatch.setattr("ops.sandbox.openssh.find_sshd", lambda: "/bin/false")

    # When the sandbox is brought up
    with pytest.raises(OpsError, match="host1"):
        up(directory, hosts=1, server="openssh")

    # Then the broker that had started has gone too
    assert members(directory) == []
    assert not directory.exists()


def test_a_guarded_sandbox_ends_with_the_process_it_belongs_to(directory: Path) -> None:
    # Given a process that owns a guarded daemon
    script = (
        "import sys; from pathlib import Path; from ops.core.identity import Identity;"
        "from ops.sandbox.census import guard; from ops.sandbox.daemon import Daemon;"
        "d = Path(sys.argv[1]); Daemon.spawn('sleeper', ['sleep', '400'], directory=d); guard(d, Identity.own());"
        "print('guarded', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "guarded\n"
    assert len(members(directory)) == 2

    # When it is killed
    owner.kill()
    owner.communicate(timeout=10)

    # Then the daemon ends, and the watchdog with it
    assert Deadline(20).poll(lambda: not members(directory))


def _start_up(directory: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", UP, str(directory)], stderr=subprocess.DEVNULL)


def _ssh(host: object, directory: Path) -> list[str]:
    place = dict(host)  # type: ignore[call-overload]
    options = [f"UserKnownHostsFile={directory / 'known_hosts'}", "BatchMode=yes", "IdentitiesOnly=yes"]
    flags = [flag for option in options for flag in ("-o", option)]
    return [
        *("ssh", "-F", "/dev/null", *flags, "-i", str(directory / "id_ed25519"), "-p", str(place["port"])),
        f"{place['user']}@{place['address']}",
    ]


def _sleeping(directory: Path) -> bool:
    return any(psutil.Process(one.pid).cmdline() == ["sleep", "400"] for one in members(directory))


def _yaml(path: Path) -> dict[str, object]:
    from invoke.vendor import yaml  # type: ignore[attr-defined]

    document: dict[str, object] = yaml.safe_load(path.read_text())
    return document
