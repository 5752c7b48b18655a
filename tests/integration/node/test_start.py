"""Starting real processes through the real agent."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.core import pidfile
from ops.core.identity import Identity
from ops.core.locks import Byte, holder_of
from ops.core.protocol import ProcessSpec, Verb
from ops.core.states import State
from tests.labs.node_host import NodeHost
from tests.labs.signals import UNHEARD, in_background


def environment_of(spec: ProcessSpec) -> dict[str, str]:
    line = next(line for line in Path(spec.files.log).read_text().splitlines() if line.startswith("environment "))
    return dict(json.loads(line.removeprefix("environment ")))


def test_a_process_is_started_seen_and_stopped(host: NodeHost) -> None:
    # Given two slots that nothing runs in
    specs = [host.spec(index=0), host.spec(index=1)]
    assert [one.state for one in host.ask(Verb.STATUS, *specs).processes] == [State.STOPPED, State.STOPPED]
    assert not Path(specs[0].files.lock).exists(), "a status made a file"
    # When they are started
    events, response = host.answer(host.agent(Verb.START, *specs))
    # Then both are ready, and every step was told as it happened
    assert [(one.state, one.ok) for one in response.processes] == [(State.RUNNING, True)] * 2
    assert [event.step for event in events if event.process == "karafka-1"] == ["spawned", "ready"]
    # And a status tells how they are
    report = host.one(Verb.STATUS, specs[0])
    assert report.pid == pidfile.read(Path(specs[0].files.pidfile)).pid
    assert report.release == "20260101000000"
    assert (report.threads, report.restarts) == (1, 0)
    assert report.rss_bytes > 1_000_000
    assert 0 < report.uptime_seconds < 60
    # And the kernel names the process as the slot's owner
    assert holder_of(Path(specs[0].files.lock), Byte.OWNER) == report.pid
    # When they are stopped, then they are gone and so are their pidfiles
    stopped = host.ask(Verb.STOP, *specs).processes
    assert [(one.state, one.ok, one.pid) for one in stopped] == [(State.STOPPED, True, None)] * 2
    assert not Path(specs[0].files.pidfile).exists()
    assert host.processes() == []


def test_a_start_of_a_running_process_leaves_it_alone(host: NodeHost) -> None:
    # Given a running process
    spec = host.spec()
    pid = host.one(Verb.START, spec).pid
    # When it is started again
    again = host.one(Verb.START, spec)
    # Then it is the same one, and that is a success
    assert (again.pid, again.ok, again.message, again.restarts) == (pid, True, "already running", 0)


def test_a_started_process_is_detached_and_starts_with_a_clean_slate(host: NodeHost) -> None:
    # Given an agent in the background, whose own environment holds what is nobody's business
    spec = host.spec(env={"KARAFKA_ENV": "production"})
    os.environ["SSH_AUTH_SOCK"] = "/nowhere"
    try:
        with in_background():
            pid = host.one(Verb.START, spec).pid
    finally:
        del os.environ["SSH_AUTH_SOCK"]
    # Then the process leads its own session, reads nothing, and writes to its log alone
    assert os.getsid(pid) == pid
    descriptors = {int(one.name): str(one.readlink()) for one in Path(f"/proc/{pid}/fd").iterdir()}
    assert descriptors[0] == "/dev/null"
    assert descriptors[1] == descriptors[2] == spec.files.log
    assert all(target == spec.files.lock for number, target in descriptors.items() if number > 2)
    # And it has the settings' environment, the project's own, and no more than the basics of the agent's
    environ = environment_of(spec)
    assert environ["KARAFKA_ENV"] == "production"
    assert environ["KARAFKA_LOG_FILE"] == spec.files.log
    assert environ["KARAFKA_STATUS_FILE"] == spec.files.status
    assert "SSH_AUTH_SOCK" not in environ
    # And it ignores no signal that the agent or Python ignores
    ignored = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigIgn"))
    meant = sum(1 << (number - 1) for number in UNHEARD)  # child.py is Python, which ignores SIGPIPE and SIGXFSZ again
    assert not int(ignored.split()[1], 16) & meant
    # And it runs in the release itself, not in the link to it
    assert str(Path(f"/proc/{pid}/cwd").readlink()) == str(host.release)


def test_the_hosts_env_file_wins_over_the_settings(host: NodeHost) -> None:
    # Given a setting that the host's env file sets as well, and quotes
    path = host.root / "env"
    path.write_text("# secrets\nPASSWORD='a $b \"c'\nKARAFKA_ENV=host\n")
    path.chmod(0o600)
    spec = host.spec(env={"KARAFKA_ENV": "settings"}, env_file=str(path))
    # When the process is started, then the host's word counts
    assert host.one(Verb.START, spec).ok
    environ = environment_of(spec)
    assert (environ["KARAFKA_ENV"], environ["PASSWORD"]) == ("host", 'a $b "c')


def test_an_env_file_that_others_may_read_is_refused(host: NodeHost) -> None:
    # Given an env file of mode 0644
    path = host.root / "env"
    path.write_text("PASSWORD=open-sesame\n")
    path.chmod(0o644)
    # When the process is started
    report = host.one(Verb.START, host.spec(env_file=str(path)))
    # Then nothing runs, and the text says what to do, without the secret
    assert (report.ok, report.state) == (False, State.STOPPED)
    assert f"chmod 600 {path}" in report.message
    assert "open-sesame" not in report.message


def test_a_command_that_exits_at_once_is_reported_with_its_code_and_this_starts_log(host: NodeHost) -> None:
    # Given a log with lines of an earlier start
    spec = host.spec("--say", "cannot reach the database", "--exit", "3")
    Path(spec.files.log).parent.mkdir(parents=True)
    Path(spec.files.log).write_text("of long ago\n")
    # When the process is started
    report = host.one(Verb.START, spec)
    # Then the report has its exit code and what it said, and nothing of long ago
    assert (report.ok, report.state) == (False, State.DEAD)
    assert report.message.startswith("it exited with 3 after ")
    assert report.log[0] == "cannot reach the database"
    assert "of long ago" not in report.log
    assert not Path(spec.files.pidfile).exists()
    # And status remembers
    seen = host.one(Verb.STATUS, spec)
    assert (seen.state, "it exited with 3" in seen.message) == (State.DEAD, True)
    # Until somebody says that it is to be stopped
    assert host.one(Verb.STOP, spec).ok
    assert host.one(Verb.STATUS, spec).state is State.STOPPED


def test_a_process_that_is_never_ready_is_ended_and_reported(host: NodeHost) -> None:
    # Given a process that runs but never says READY=1
    spec = host.spec("--not-ready", "--say", "waiting for godot", start_timeout_seconds=5.0)
    # When it is started
    report = host.one(Verb.START, spec)
    # Then it was ended, and its log is shown
    assert (report.ok, report.state) == (False, State.DEAD)
    assert report.message.startswith("it was not ready within 5 s; ended after")
    assert "waiting for godot" in report.log
    assert host.processes() == []


def test_a_foreign_command_is_started_when_it_has_lived_for_a_second(host: NodeHost) -> None:
    # Given a command that knows nothing of readiness
    spec = host.spec(command=("sleep", "300"), readiness="alive")
    # When it is started
    report = host.one(Verb.START, spec)
    # Then it counts as started
    assert (report.ok, report.state) == (True, State.RUNNING)
    assert report.message.startswith("alive after ")


def test_a_ready_of_another_process_does_not_count(host: NodeHost) -> None:
    # Given a wrapper whose child, not itself, says READY=1
    child = host.spec().command
    spec = host.spec(
        command=(sys.executable, "-c", f"import subprocess; subprocess.run({list(child)!r})"), start_timeout_seconds=4.0
    )
    # When it is started
    report = host.one(Verb.START, spec)
    # Then the wrapper was not ready, and nothing of it is left
    assert report.message.startswith("it was not ready")
    assert host.processes() == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"command": ("no-such-command",)}, "the command no-such-command could not be run in"),
        ({"command": ("/dev/null",)}, "Permission denied"),
        ({"directory": "/nowhere/current"}, "there is no folder /nowhere/current to start in"),
        ({"command": ("sleep", "a\0b")}, "null byte"),
    ],
)
def test_a_command_that_cannot_run_is_said_so_and_leaves_no_pidfile(host: NodeHost, changes: Any, text: str) -> None:
    # Given a command that is not there, no program, in no folder, or no command line at all
    spec = host.spec(**changes)
    # When it is started
    report = host.one(Verb.START, spec)
    # Then the text says so, and nothing is left
    assert (report.ok, report.state) == (False, State.STOPPED)
    assert text in report.message
    assert not Path(spec.files.pidfile).exists()
    # And a later look, when all may be there, tells of that start as past
    seen = host.one(Verb.STATUS, spec).message
    assert re.match(r"its last start failed at \d{4}-\d\d-\d\d \d\d:\d\d: ", seen)
    assert text in seen


@pytest.mark.parametrize("lacking", ["folder", "command"])
def test_a_deploy_takes_with_it_why_the_start_before_it_failed(host: NodeHost, lacking: str) -> None:
    # Given a start that failed, as there was no release yet, or none with that command
    spec = host.spec(command=(".venv/bin/consumer",))
    if lacking == "folder":
        host.current.unlink()
    assert not host.one(Verb.START, spec).ok
    assert "its last start failed at " in host.one(Verb.STATUS, spec).message
    # When a release is made current
    host.current.unlink(missing_ok=True)
    host.current.symlink_to(host.release)
    # Then the process is stopped, and nothing is said of what the release before it lacked
    seen = host.one(Verb.STATUS, spec)
    assert (seen.state, seen.message) == (State.STOPPED, "")
    # And a start that fails in this one is told
    assert not host.one(Verb.START, spec).ok
    assert "the command .venv/bin/consumer could not be run" in host.one(Verb.STATUS, spec).message


def test_a_broken_release_does_not_break_the_launch(host: NodeHost) -> None:
    # Given a release with modules named as the standard library's, and an environment that points Python at it
    for name in ("json", "os", "ops"):
        (host.release / f"{name}.py").write_text("raise SystemExit('broken release')\n")
    spec = host.spec(env={"PYTHONPATH": str(host.release)}, command=("sleep", "300"), readiness="alive")
    # When the process is started, then the shim took nothing of it
    assert host.one(Verb.START, spec).ok


def test_restart_is_a_new_process_in_the_new_release(host: NodeHost) -> None:
    # Given a running process, and a release that came after it
    spec = host.spec()
    first = host.one(Verb.START, spec)
    release = host.root / "releases" / "20260202000000"
    release.mkdir()
    host.current.unlink()
    host.current.symlink_to(release)
    # When it is restarted
    report = host.one(Verb.RESTART, spec)
    # Then another process runs, from the new release
    assert report.ok
    assert report.pid != first.pid
    assert (report.release, report.restarts) == ("20260202000000", 1)
    assert Identity.of(first.pid) is None


def test_a_restart_with_a_command_that_is_not_there_stops_nobody(host: NodeHost) -> None:
    # Given a running process
    spec = host.spec()
    first = host.one(Verb.START, spec)
    assert first.ok
    # When it is restarted with a misspelt command
    wrong = replace(spec, command=(".venv/bin/pyhton", "consumer.py"))
    refused = host.one(Verb.RESTART, wrong)
    # Then it runs on, and the answer says why
    assert (refused.ok, refused.state, refused.pid) == (False, State.RUNNING, first.pid)
    assert "the command .venv/bin/pyhton cannot be run" in refused.message
    assert refused.message.endswith("nothing was done")
    # And a status tells it before
    assert "pyhton" in host.one(Verb.STATUS, wrong).unstartable
    assert host.one(Verb.STATUS, spec).unstartable == ""
