"""Pidfiles that lie, files that cannot be written, and what dead processes leave."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core import pidfile
from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.protocol import Response, Verb, decode_line
from ops.core.states import State
from tests.labs.node_host import NodeHost
from tests.labs.parts import NAMESPACES, needs

LIES = ["empty", "garbage", "binary", "foreign", "recycled", "other boot", "ended"]


def kill(pid: int | None) -> None:
    """End a process behind everybody's back."""
    process = Identity.of(pid or 0)
    assert process is not None
    assert process.send(signal.SIGKILL)
    assert Deadline(20).poll(lambda: not process.alive())


def lie(kind: str, path: Path, innocent: Identity) -> None:
    """Write a pidfile that does not name this slot's living process."""
    match kind:
        case "empty":
            path.write_text("")
        case "garbage":
            path.write_text("no pid\nat all\n")
        case "binary":
            path.write_bytes(bytes(range(256)) * 100)
        case "foreign":
            path.write_text(f"{innocent.pid}\n")
        case "recycled":
            pidfile.write(path, replace(innocent, start=innocent.start - 1))
        case "other boot":
            pidfile.write(path, replace(innocent, boot="00000000-0000-0000-0000-000000000000"))
        case "ended":
            ended = subprocess.Popen(["true"])
            ended.wait()
            pidfile.write(path, replace(innocent, pid=ended.pid))


@pytest.mark.parametrize("kind", LIES)
def test_a_stale_pidfile_is_dead_in_status_and_healed_by_start(host: NodeHost, innocent: Identity, kind: str) -> None:
    # Given a pidfile that names no living process of this slot, perhaps an innocent one
    spec = host.spec()
    lie(kind, host.pidfile(spec), innocent)
    # Then status says dead
    assert host.one(Verb.STATUS, spec).state is State.DEAD
    # When the process is started
    report = host.one(Verb.START, spec)
    # Then it runs, the pidfile is right, and the innocent lives
    assert (report.ok, report.state) == (True, State.RUNNING)
    assert "a stale pidfile was removed" in report.message
    assert pidfile.read(host.pidfile(spec)).pid == report.pid
    assert innocent.alive()


@pytest.mark.parametrize("kind", LIES)
def test_a_stop_never_signals_what_a_stale_pidfile_names(host: NodeHost, innocent: Identity, kind: str) -> None:
    # Given such a pidfile
    spec = host.spec()
    lie(kind, host.pidfile(spec), innocent)
    # When the process is stopped
    report = host.one(Verb.STOP, spec)
    # Then nothing ran, the pidfile is gone, and the innocent lives
    assert (report.ok, report.state) == (True, State.STOPPED)
    assert report.message == "not running; a stale pidfile was removed"
    assert not host.pidfile(spec).exists()
    assert innocent.alive()


def test_a_pidfile_that_lies_about_a_running_process_hides_nothing(host: NodeHost, innocent: Identity) -> None:
    # Given a running process whose pidfile was overwritten with another's
    spec = host.spec()
    pid = host.one(Verb.START, spec).pid
    lie("foreign", host.pidfile(spec), innocent)
    # Then status and start go by the kernel's word
    assert (host.one(Verb.STATUS, spec).pid, host.one(Verb.STATUS, spec).state) == (pid, State.RUNNING)
    assert host.one(Verb.START, spec).message == "already running"
    # And stop ends it, not the other
    assert host.one(Verb.STOP, spec).ok
    assert Identity.of(pid) is None
    assert innocent.alive()
    assert host.one(Verb.STATUS, spec).state is State.STOPPED


def test_a_killed_process_is_dead_in_status_and_a_start_recovers_it(host: NodeHost) -> None:
    # Given a running process
    spec = host.spec()
    pid = host.one(Verb.START, spec).pid
    # When it is killed behind everybody's back
    kill(pid)
    # Then status says dead, names it, and a start makes it right
    dead = host.one(Verb.STATUS, spec)
    assert (dead.state, dead.message) == (State.DEAD, f"process {pid} is gone and left its pidfile")
    report = host.one(Verb.START, spec)
    assert (report.ok, report.state, report.restarts) == (True, State.RUNNING, 1)


def test_children_that_a_killed_process_left_are_ended_before_the_next_start(host: NodeHost) -> None:
    # Given a process killed behind everybody's back, and two children of it that live on
    spec = host.spec("--children", "2")
    pid = host.one(Verb.START, spec).pid
    children = [one.pid for one in host.processes() if one.pid != pid]
    kill(pid)
    assert len(children) == 2
    # When it is started
    report = host.one(Verb.START, spec)
    # Then they are gone, and the report says so
    assert report.ok
    assert "the process before it had left children: 2 processes that it had started ended too" in report.message
    assert [Identity.of(child) for child in children] == [None, None]


def test_a_session_of_strangers_under_a_recycled_number_lives(host: NodeHost) -> None:
    # Given a record that names a dead process, whose number leads strangers' session by now
    spec = host.spec()
    host.one(Verb.START, spec)
    host.one(Verb.STOP, spec)
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '300'], stdout=-3, stderr=-3).pid)"
    leader = subprocess.run(
        [sys.executable, "-c", f"{script}; import os; print(os.getpid())"],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    )
    stranger, gone = (int(word) for word in leader.stdout.split())
    identity = Identity.of(stranger)
    path = Path(spec.files.record)
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "process": {**record["process"], "pid": gone}}))
    try:
        # When the slot is started and stopped, then the stranger lives
        assert host.one(Verb.START, spec).ok
        path.write_text(json.dumps({**record, "process": {**record["process"], "pid": gone}}))
        assert host.one(Verb.STOP, spec).ok
        assert identity.alive()
    finally:
        identity.send(signal.SIGKILL)


@pytest.mark.parametrize("field", ["pidfile", "lock", "record", "log"])
def test_a_file_that_cannot_be_made_stops_the_start_with_its_name(host: NodeHost, field: str) -> None:
    # Given one file of the slot in a folder where nobody, root included, can make it
    spec = host.spec()
    bad = replace(spec, files=replace(spec.files, **{field: f"/proc/nowhere/{field}"}))
    # When the process is started
    report = host.one(Verb.START, bad)
    # Then nothing runs, and the text names the place
    assert not report.ok
    assert "/proc/nowhere" in report.message
    assert host.processes() == []


@needs(NAMESPACES)
def test_a_full_disk_stops_the_start_and_never_the_stop(host: NodeHost) -> None:
    # Given pidfile, record and log on a disk of 64 kB in a mount namespace of its own
    disk = host.root / "disk"
    disk.mkdir()
    spec = host.spec()
    files = replace(
        spec.files, pidfile=str(disk / "pid" / "p"), record=str(disk / "state" / "r"), log=str(disk / "log" / "l")
    )
    on_disk = replace(spec, files=files)
    only_pidfile = replace(spec, files=replace(spec.files, pidfile=files.pidfile), name="karafka-1")
    requests = [
        ("", Verb.START, on_disk),
        ("full", Verb.STATUS, on_disk),
        ("", Verb.STOP, on_disk),
        ("full", Verb.START, on_disk),
        ("full", Verb.START, only_pidfile),
    ]
    steps = []
    for number, (full, verb, one) in enumerate(requests):
        request = host.root / f"request-{number}"
        request.write_text(host.request(verb, one))
        if full:
            steps.append(f"! head -c 1000000 /dev/zero 2>/dev/null >> {disk}/fill")
        steps.append(f"{sys.executable} -m ops.node < {request} | tail -1")
    # When it is started, the disk fills up, it is stopped, and started again
    script = f"set -e; mount -t tmpfs -o size=64k tmpfs {disk}; " + "; ".join(steps)
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    answers = [decode_line(line) for line in done.stdout.splitlines() if line]
    started, seen, stopped, again, pidless = [one.processes[0] for one in answers if isinstance(one, Response)]
    # Then a running process is seen and stopped as ever
    assert started.ok, started
    assert seen.state is State.RUNNING
    assert (stopped.ok, stopped.state) == (True, State.STOPPED)
    # And a start says why it did nothing, and did nothing
    for report in (again, pidless):
        assert not report.ok
        assert "No space left on device" in report.message
        assert "nothing was started" in report.message
    assert host.processes() == []


def test_the_shim_runs_nothing_without_its_pidfile(tmp_path: Path) -> None:
    # Given a shim that may not write a byte to any file
    witness = tmp_path / "ran"
    done = subprocess.run(
        [
            *(sys.executable, "-I", "-m", "ops.node.shim"),
            *(str(tmp_path / "l"), str(tmp_path / "p"), "r", "--", "mkdir", str(witness)),
        ],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        capture_output=True,
        text=True,
    )
    # Then it ends with its own code and text, the command never ran, and no half pidfile is left
    assert done.returncode == 73
    assert "File too large; nothing was started" in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["l"]
