"""What goes wrong between an agent and systemd, and what is said then."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.core.identity import Identity
from ops.core.keeping import Keeping
from ops.core.protocol import ProcessReport, Request, Response, Verb
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State
from ops.sandbox.census import end_all, guard
from ops.sandbox.daemon import Daemon
from ops.sandbox.deployed import Deployed
from ops.sandbox.nspawn import PYTHON, UID, USER, SystemdHost
from ops.sandbox.nspawn_root import Order, namespace
from tests.labs.parts import SYSTEMD_HOST, needs
from tests.labs.serving import MakeServing

READY = "from ops.core.notify import Notifier; Notifier.from_environment().ready()"
SLOW = "import time; time.sleep(300)"
CRASHES = "raise SystemExit('it does not work')"
PATIENCE = 30.0


def asking(application: Deployed, verb: Verb) -> tuple[threading.Thread, list[Response]]:
    """Ask an agent beside the test."""
    answers: list[Response] = []
    thread = threading.Thread(target=lambda: answers.append(application.ask(verb)))
    thread.start()
    return thread, answers


def until(application: Deployed, state: State) -> ProcessReport:
    """Wait for a state."""
    last: list[ProcessReport] = []

    def reached() -> bool:
        last[:] = [application.one(Verb.STATUS)]
        return last[0].state is state

    assert Deadline(PATIENCE).poll(reached, every=0.1), f"{last}\n{application.journal()}"
    return last[0]


def test_a_stop_of_the_unit_breaks_its_start_off_at_once(serving: MakeServing) -> None:
    # Given an agent that waits for a start
    application = serving(SLOW, start_timeout_seconds=60)
    thread, answers = asking(application, Verb.START)
    assert Deadline(PATIENCE).poll(lambda: application.show("ActiveState") == "activating")
    # When somebody stops the unit
    application.host.run("systemctl", "stop", application.unit())
    thread.join(PATIENCE)
    # Then the start has failed, and nothing runs
    report = answers[0].processes[0]
    assert (report.ok, report.pid) == (False, None)
    assert application.show("ActiveState") == "inactive"


def test_a_stop_ends_what_systemd_is_just_starting(serving: MakeServing) -> None:
    # Given a process that systemd started by itself, and that is not ready yet
    application = serving(SLOW)
    application.host.run("systemctl", "start", "--no-block", application.unit())
    assert Deadline(PATIENCE).poll(lambda: application.one(Verb.STATUS).pid)
    assert application.one(Verb.STATUS).state is State.STARTING
    # When it is stopped
    report = application.one(Verb.STOP)
    # Then it ends, and systemd does not try again
    assert (report.ok, report.state) == (True, State.STOPPED)
    assert application.show("ActiveState") == "inactive"


def test_a_start_waits_for_what_systemd_is_just_starting(serving: MakeServing) -> None:
    # Given a process that systemd started by itself, and that takes a second until it is ready
    application = serving(f"import time; time.sleep(1); {READY}; {SLOW}")
    application.host.run("systemctl", "start", "--no-block", application.unit())
    assert Deadline(PATIENCE).poll(lambda: application.one(Verb.STATUS).pid)
    # When it is started
    report = application.one(Verb.START)
    # Then that is said when it is ready
    assert (report.ok, report.state, report.message) == (True, State.RUNNING, "already running")
    assert application.show("ActiveState") == "active"


def test_a_crash_loop_is_shown_and_can_be_stopped(serving: MakeServing) -> None:
    # Given a command that ends at each start, started by systemd itself
    application = serving(CRASHES)
    application.host.run("systemctl", "start", "--no-block", application.unit())
    # When systemd starts it again and again
    report = until(application, State.CRASH_LOOPING)
    # Then a status says so, and what it said last
    assert "exited with 1" in report.message
    assert "it does not work" in report.log
    # And a stop ends that
    assert application.one(Verb.STOP).ok
    assert application.show("ActiveState") == "inactive"


def test_a_unit_that_systemd_has_given_up_is_crash_looping_until_it_is_started(serving: MakeServing) -> None:
    # Given a command that crashes, and people who have lowered the limit by a file of their own
    application = serving(CRASHES)
    folder = f"/etc/systemd/system/{application.kept.template}.d"
    application.host.write(f"{folder}/limit.conf", "[Unit]\nStartLimitBurst=2\n[Service]\nRestartSec=100ms\n")
    application.host.run("systemctl", "daemon-reload")
    application.host.run("systemctl", "start", "--no-block", application.unit())
    # When systemd gives it up
    assert Deadline(PATIENCE).poll(lambda: application.show("ActiveState") == "failed", every=0.1)
    # Then that is said
    report = application.one(Verb.STATUS)
    assert (report.state, report.ok) == (State.CRASH_LOOPING, True)
    assert "systemd gave up" in report.message
    # And a start may try again, whatever the limit
    again = application.one(Verb.START)
    assert "exited with 1" in again.message
    assert "it does not work" in again.log
    # And an installation leaves the people's file alone
    application.install()
    assert "StartLimitBurst=2" in application.host.run("cat", f"{folder}/limit.conf").stdout


def test_a_unit_that_is_not_installed_is_named_with_what_to_do(serving: MakeServing) -> None:
    # Given an application without units
    application = serving()
    application.host.run("rm", f"/etc/systemd/system/{application.kept.template}")
    application.host.run("systemctl", "daemon-reload")
    # When it is started, then the error says how to get them
    report = application.one(Verb.START)
    assert (report.ok, report.state) == (False, State.STOPPED)
    assert f"systemd has no unit {application.unit()}" in report.message
    assert "fab karafka.install" in report.message
    # And a status says it, too, while a stop has nothing to do
    assert "fab karafka.install" in application.one(Verb.STATUS).message
    assert application.one(Verb.STOP).ok


def test_an_env_file_that_is_missing_is_a_failed_start(serving: MakeServing) -> None:
    # Given a unit without its env file
    application = serving()
    application.host.run("rm", f"/etc/karafka-ops/{application.settings.application}/karafka-0.env")
    # When it is started, then what systemd says of it is shown, and it does not go on trying
    report = application.one(Verb.START)
    assert (report.ok, report.state) == (False, State.STOPPED)
    assert "its env file or folder is missing" in report.message
    assert any("environment files" in line for line in report.log), report.log
    assert application.show("ActiveState") == "inactive"


def test_a_user_without_sudo_is_told_what_is_missing(serving: MakeServing) -> None:
    # Given a deploying user, and settings with sudo whose rules were never installed
    application = serving(systemd={"sudo": True})
    application.host.run("rm", f"/etc/sudoers.d/{application.kept.group}")
    # When the user starts it
    report = application.one(Verb.START, user=USER)
    # Then the error names the file
    assert not report.ok
    assert "sudo does not allow it" in report.message
    assert "sudoers" in report.message
    # And a status needs none
    assert application.one(Verb.STATUS, user=USER).state is State.STOPPED


def test_a_user_who_may_not_start_units_is_told_of_sudo(serving: MakeServing) -> None:
    # Given a deploying user, and settings without sudo
    application = serving()
    # When the user starts it, then the error says which setting helps
    report = application.one(Verb.START, user=USER)
    assert not report.ok
    assert "systemd: {sudo: true}" in report.message


def test_sudo_is_enough_for_the_four_verbs(serving: MakeServing) -> None:
    # Given a deploying user with the rendered sudoers
    application = serving(systemd={"sudo": True})
    # When the user starts, restarts and stops it, then that works
    first = application.one(Verb.START, user=USER)
    assert first.ok, first
    second = application.one(Verb.RESTART, user=USER)
    assert (second.ok, second.state) == (True, State.RUNNING), second
    assert {"stop", "start"} == second.timings.keys()
    assert application.one(Verb.STOP, user=USER).state is State.STOPPED
    # And nothing else is allowed
    refused = application.host.run("sudo", "-n", "systemctl", "stop", "ssh.service", user=USER, check=False)
    assert refused.returncode != 0


def test_a_users_systemd_that_does_not_run_is_told_with_linger_which_mends_it(serving: MakeServing) -> None:
    # Given user units, and a user who has no session and no linger
    host = serving().host
    host.run("loginctl", "enable-linger", USER)
    assert Deadline(PATIENCE).poll(lambda: host.run("test", "-S", f"/run/user/{UID}/bus", check=False).returncode == 0)
    application = serving(systemd={"scope": "user"})
    host.run("loginctl", "disable-linger", USER)
    host.run("loginctl", "terminate-user", USER, check=False)
    assert Deadline(PATIENCE).poll(lambda: host.run("test", "-e", f"/run/user/{UID}", check=False).returncode == 1)
    # When it is started, then the error says what is missing
    report = application.one(Verb.START, user=USER)
    assert not report.ok
    assert "enable-linger" in report.message
    # And a status does not know what it cannot ask
    status = application.one(Verb.STATUS, user=USER)
    assert (status.state, "enable-linger" in status.message) == (State.UNKNOWN, True)
    # When linger is on, then all works without root
    host.run("loginctl", "enable-linger", USER)
    started = Deadline(PATIENCE).poll(lambda: ok(application.one(Verb.START, user=USER)), every=0.5)
    assert started, application.one(Verb.START, user=USER)
    assert application.one(Verb.STATUS, user=USER).state is State.RUNNING
    assert application.one(Verb.RESTART, user=USER).ok
    assert application.one(Verb.STOP, user=USER).state is State.STOPPED
    host.run("loginctl", "disable-linger", USER)


def ok(report: ProcessReport) -> bool:
    return report.ok


def test_a_failed_start_of_a_user_unit_shows_the_users_journal(serving: MakeServing) -> None:
    # Given a user with linger, and a command that ends at once
    host = serving().host
    host.run("loginctl", "enable-linger", USER)
    assert Deadline(PATIENCE).poll(lambda: host.run("test", "-S", f"/run/user/{UID}/bus", check=False).returncode == 0)
    application = serving(CRASHES, systemd={"scope": "user"})
    # When the user starts it, then the error has what it said
    report = application.one(Verb.START, user=USER)
    assert (report.ok, report.state) == (False, State.DEAD)
    assert "it does not work" in report.log, report


def test_two_applications_on_a_host_do_not_meet(serving: MakeServing) -> None:
    # Given two applications with a process of the same name each
    one, other = serving(), serving()
    started = [application.one(Verb.START) for application in (one, other)]
    assert [report.ok for report in started] == [True, True]
    # When all of one is stopped, by its target
    one.host.run("systemctl", "start", one.kept.target)
    one.host.run("systemctl", "stop", one.kept.target)
    # Then the other goes on
    assert until(one, State.STOPPED).pid is None
    assert other.one(Verb.STATUS).pid == started[1].pid


def test_a_process_that_was_started_beside_its_unit_is_moved_there_by_a_restart(serving: MakeServing) -> None:
    # Given a process that an agent started by its pidfile, before systemd was the manager
    application = serving()
    by_pidfile = Deployed(application.host, application.settings)
    by_pidfile.kept = Keeping()
    before = by_pidfile.one(Verb.START, user=USER)
    assert before.ok, before
    status = application.one(Verb.STATUS)
    assert (status.state, status.pid) == (State.RUNNING, before.pid)
    assert "beside its unit" in status.message
    # When it is restarted
    report = application.one(Verb.RESTART)
    # Then systemd has it
    assert (report.ok, report.state) == (True, State.RUNNING), report
    assert int(application.show("MainPID")) == report.pid != before.pid


def test_a_command_that_never_says_ready_is_up_when_it_has_lived_for_a_second(serving: MakeServing) -> None:
    # Given a foreign command, and one that ends soon
    good = serving(SLOW, readiness="alive")
    bad = serving("raise SystemExit(4)", readiness="alive")
    # Then one is up, and the other a failed start
    report = good.one(Verb.START)
    assert (report.ok, report.message[:12]) == (True, "alive after ")
    report = bad.one(Verb.START)
    assert (report.ok, report.message[:16]) == (False, "it exited with 4"), report


def test_ten_processes_are_asked_for_at_once_and_cost_little_more_than_pidfiles(serving: MakeServing) -> None:
    # Given ten processes
    application = serving(processes=10)
    assert all(report.ok for report in application.ask(Verb.START).processes)
    host = application.host
    # When their status is asked for by both managers in turn, in one process each, the way `inv status` does
    script = (
        "import json, sys, time\n"
        "from ops.core.protocol import Request\n"
        "from ops.core.keeping import Keeping\n"
        "from ops.node.managers import manager_of\n"
        "from ops.node.turn import unbound\n"
        "request = Request.decode(sys.stdin.read())\n"
        "best = {}\n"
        "for _ in range(6):\n"
        "    for kept in (Keeping(), request.keeping):\n"
        "        began = time.perf_counter()\n"
        "        found = manager_of(kept, print, permit=unbound).statuses(request.processes)\n"
        "        took = time.perf_counter() - began\n"
        "        assert [one.state for one in found] == ['running'] * 10, found\n"
        "        best[kept.kind] = min(best.get(kept.kind, 9.0), took)\n"
        "print(json.dumps(best))\n"
    )
    request = Request(Verb.STATUS, "h1", application.specs, keeping=application.kept)
    best = json.loads(host.run(PYTHON, "-c", script, data=request.encode()).stdout)
    # Then systemd is asked by one command for all, and an agent takes about as long as ever
    agent = 0.1  # s of start-up and answer, which both pay
    assert best["systemd"] + agent <= 1.5 * (best["pidfile"] + agent), best


@needs(SYSTEMD_HOST)
def test_a_host_that_is_killed_leaves_nothing(tmp_path: Path, run_owner: Identity) -> None:
    # Given another host
    host = SystemdHost(tmp_path / "host", "h2")
    host.start()
    guard(host.directory, run_owner)
    link = Path("/sys/class/net") / f"ve-{host.machine}"
    assert link.exists()
    # When what holds it is killed
    daemon = host._daemon
    assert isinstance(daemon, Daemon)
    daemon.stop(timeout_seconds=0)
    # Then its network and its processes are gone, and it never had a mount here
    assert Deadline(PATIENCE).poll(lambda: not link.exists())
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    end_all(host.directory, timeout_seconds=0)


def test_without_a_mount_namespace_of_its_own_nothing_is_mounted(tmp_path: Path) -> None:
    # Given an order to boot, carried out in the namespace that it must not be in
    order = Order("kx", str(tmp_path), USER, UID, "", "", {}, {}, {}, namespace=namespace())
    done = subprocess.run(
        [sys.executable, "-m", "ops.sandbox.nspawn_root", order.encode()],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    # Then it refuses, and has mounted nothing
    assert done.returncode != 0
    assert "refused" in done.stderr
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_words_and_values_arrive_as_they_were(serving: MakeServing) -> None:
    # Given a command and an environment of whatever a shell or systemd could take for its own
    odd = ["a b", "$HOME", "${HOME}", "50%", "%i", "it's", 'say "hi"', "back\\slash", ";", "", "#no", "`id`", " edge "]
    odd.append("two\nlines\tand a tab")
    script = f"import json, os, sys; {READY}; print(json.dumps([sys.argv[1:], dict(os.environ)]), flush=True); {SLOW}"
    application = serving(
        command=[PYTHON, "-c", script, *odd], env={f"ODD{number}": text for number, text in enumerate(odd)}
    )
    # When it runs
    assert application.one(Verb.START).ok
    # Then it has them, to the character
    said = application.host.run(
        "journalctl", "--output=cat", f"--unit={application.unit()}", f"_PID={application.show('MainPID')}"
    ).stdout
    arguments, environment = json.loads(said)
    assert arguments == odd
    assert [environment[f"ODD{number}"] for number in range(len(odd))] == odd


@pytest.mark.soak
def test_a_unit_with_files_of_before_keeps_its_process_until_it_is_installed_anew(serving: MakeServing) -> None:
    # Given a process whose unit an older version of the tool has written, with files of the setting's own name
    application = serving(role="small")
    (now,) = application.specs
    shared = f"{application.root}/shared"
    before = replace(now, files=SlotFiles.below(shared, application.settings.pid, Slot("karafka", 0)))
    application.specs = (before,)
    application.install()
    old = application.one(Verb.START)
    assert old.ok, old
    application.host.run("truncate", "--size=0", before.files.lock)
    # When its slot has files of its own name, then it is found, and not restarted into files that nobody looks at
    application.specs = (now,)
    assert (application.one(Verb.STATUS).state, application.one(Verb.STATUS).pid) == (State.RUNNING, old.pid)
    refused = application.one(Verb.RESTART)
    assert (refused.ok, refused.pid) == (False, old.pid)
    assert "fab karafka.install" in refused.message
    # And once its unit is installed anew a restart moves it
    application.install()
    moved = application.one(Verb.RESTART)
    assert moved.ok, moved
    assert moved.pid not in (None, old.pid)
    assert application.host.run("ls", f"{shared}/tmp/pids").stdout.split() == ["small-0.pid"]
    # And a stop ends it there
    assert application.one(Verb.STOP).state is State.STOPPED


def test_a_restart_with_a_command_that_is_not_there_stops_nobody(serving: MakeServing) -> None:
    # Given a running process
    application = serving()
    first = application.one(Verb.START)
    # When it is restarted with a misspelt command
    application.specs = tuple(replace(one, command=(".venv/bin/pyhton", "x.py")) for one in application.specs)
    refused = application.one(Verb.RESTART)
    # Then it runs on
    assert (refused.ok, refused.state, refused.pid) == (False, State.RUNNING, first.pid)
    assert "the command .venv/bin/pyhton cannot be run" in refused.message
