"""Processes that supervisor keeps: started again when they die, told as they are, and never two in a slot."""

from __future__ import annotations

import os
import pwd
import signal
from dataclasses import replace
from pathlib import Path

import psutil

from ops.core import keeping
from ops.core.deadline import Deadline
from ops.core.deaths import Deaths
from ops.core.identity import Identity
from ops.core.keeping import Keeping
from ops.core.lease import Fence
from ops.core.locks import Byte, holder_of
from ops.core.protocol import Event, Request, Verb
from ops.core.slot import Slot, SlotFiles
from ops.core.states import State
from ops.node import manifest
from ops.node.agent import carry_out
from ops.node.fence import FenceRecord
from ops.node.managers.pidfile import PidfileManager
from ops.node.placing import Places
from ops.node.supervisord import Supervisord
from tests.labs.supervised import Kept, MakeKept


def test_a_killed_process_is_started_again(kept: Kept) -> None:
    # Given a running process
    spec = kept.installed("--children", "1")
    first = kept.one(Verb.START, spec)
    assert first.ok, first
    (orphan,) = psutil.Process(first.pid).children()
    # When it is killed
    kept.kill(first.pid)
    # Then supervisor starts it anew, and status counts that
    again = kept.until(spec, State.RUNNING, other_than=first.pid)
    assert (again.restarts, again.message) == (1, "")
    # And what it had started is gone
    assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE  # PID 1 reaps where it does
    # And a stop is a stop: no death is left to be counted
    assert kept.one(Verb.STOP, spec).ok
    assert kept.one(Verb.START, spec).restarts == 2


def test_a_killed_wrapper_leaves_no_orphan_in_the_slot(kept: Kept) -> None:
    # Given a running process that ignores TERM
    spec = kept.installed("--ignore-term", stop_timeout_seconds=0.5)
    first = kept.one(Verb.START, spec)
    process = Identity.of(first.pid)
    # When its wrapper is killed
    kept.kill(kept.program(spec).pid)
    # Then the process ends with it, and another one has the slot
    again = kept.until(spec, State.RUNNING, other_than=first.pid)
    assert not process.alive()
    assert holder_of(Path(spec.files.lock), Byte.OWNER) == again.pid
    assert again.restarts == 1


def test_a_program_that_cannot_work_is_crash_looping_until_it_can_or_is_stopped(kept: Kept) -> None:
    # Given a broken release that supervisor starts by itself, again and again
    spec = kept.installed("--unless", "broken")
    broken = kept.release / "broken"
    broken.write_text("no such table: sources")
    kept.begin(spec)
    # Then status says that, why, and what it wrote last
    looping = kept.until(spec, State.CRASH_LOOPING)
    assert kept.program(spec).state == "BACKOFF"
    assert "it exited with 1" in looping.message
    assert "no such table: sources" in looping.log
    # And once it is mended, a start does not wait for supervisor's next try
    broken.unlink()
    mended = kept.one(Verb.START, spec)
    assert (mended.ok, mended.state) == (True, State.RUNNING)
    assert kept.one(Verb.STOP, spec).ok
    # Given one that supervisor gives up
    broken.write_text("no such table: sources")
    conf = kept.server.conf_d / f"karafka-{kept.name}.conf"
    conf.write_text(conf.read_text().replace("startretries = 10", "startretries = 0"))
    kept.server.update()
    kept.begin(spec)
    assert Deadline(20).poll(lambda: kept.program(spec).state == "FATAL")
    assert "FATAL" in kept.until(spec, State.CRASH_LOOPING).message
    # And a stop makes an end of it
    stopped = kept.one(Verb.STOP, spec)
    assert (stopped.ok, stopped.state) == (True, State.STOPPED)
    assert kept.one(Verb.STATUS, spec).state is State.STOPPED


def test_a_broken_release_stops_the_restart_and_shows_its_last_lines(kept: Kept) -> None:
    # Given two processes at work, and a release that cannot work
    broken, other = kept.installed("--unless", "broken", processes=2)
    assert all(report.ok for report in kept.ask(Verb.START, broken, other).processes)
    pid = kept.one(Verb.STATUS, other).pid
    (kept.release / "broken").write_text("no such table: sources")
    # When they are restarted one after the other
    failed, left = kept.ask(Verb.RESTART, broken, other, at_once=False).processes
    # Then the first says why it does not start, and the second is left alone
    assert (failed.ok, failed.state) == (False, State.DEAD)
    assert "it exited with 1 after" in failed.message
    assert "no such table: sources" in failed.log
    assert (left.message, left.pid) == ("not attempted: karafka-0 failed", pid)


def test_what_ended_without_this_tool_is_told(kept: Kept) -> None:
    # Given a process that ends by itself, as if its work were done
    spec = kept.installed(readiness="alive")
    first = kept.one(Verb.START, spec)
    assert Deadline(10).poll(
        lambda: kept.program(spec).state == "RUNNING"
    )  # before, supervisor calls any end too quick
    os.kill(first.pid, signal.SIGTERM)
    # Then supervisor leaves it at that, and status says how it ended
    ended = kept.until(spec, State.DEAD)
    assert Deadline(10).poll(lambda: "it exited with 0 after" in kept.one(Verb.STATUS, spec).message), ended
    # Given one that somebody stops through supervisor
    assert kept.one(Verb.START, spec).ok
    server = Supervisord(kept.server.socket)
    assert server.stop(kept.keeping.program(spec.name))
    assert Deadline(10).poll(lambda: kept.program(spec).state == "STOPPED")
    server.close()
    # Then that is no death
    assert kept.one(Verb.STATUS, spec).message == "supervisor was told to stop it"
    again = kept.one(Verb.START, spec)
    assert (again.state, Deaths.read(Path(spec.files.deaths)).recent()) == (State.RUNNING, 1)


def test_two_applications_live_side_by_side(kept_of: MakeKept) -> None:
    # Given two applications under one supervisord, with processes of the same names
    one, two = kept_of("one"), kept_of("two")
    mine, theirs = one.installed(processes=2), two.installed(processes=2)
    for report in (*one.ask(Verb.START, *mine).processes, *two.ask(Verb.START, *theirs).processes):
        assert report.ok, report
    # When one is stopped
    assert all(report.ok for report in one.ask(Verb.STOP, *mine).processes)
    # Then the other works on, each process with its own environment
    assert {report.state for report in two.ask(Verb.STATUS, *theirs).processes} == {State.RUNNING}
    assert two.environments(theirs[1])[0]["WHO"] == f"{two.name} karafka-1"


def test_a_change_of_processes_leaves_the_others_alone(kept: Kept) -> None:
    # Given two processes at work
    specs = kept.installed(processes=2)
    before = [report.pid for report in kept.ask(Verb.START, *specs).processes]
    # When the settings say three, and supervisor is updated
    done = kept.server.install(kept.name, [*specs, kept.spec(index=2)])
    # Then there is one more program, and nobody was touched
    assert done == {"added": [kept.keeping.program("karafka-2")], "changed": [], "removed": []}
    assert [report.pid for report in kept.ask(Verb.STATUS, *specs).processes] == before
    # When they say one, then the others go
    done = kept.server.install(kept.name, specs[:1])
    assert (done["added"], done["changed"], len(done["removed"])) == ([], [], 2)
    assert [report.pid for report in kept.ask(Verb.STATUS, *specs).processes] == [before[0], None]


def test_a_start_takes_its_program_as_it_was_installed_last(kept: Kept) -> None:
    # Given a running process, a newer file of its program, and a file of somebody else's that nobody can read
    spec = kept.installed()
    assert kept.one(Verb.START, spec).ok
    changed = kept.spec("--say", "another command")
    kept.server.place(kept.name, [changed])
    # When it is restarted, then it runs the new command
    report = kept.one(Verb.RESTART, changed)
    assert report.ok, report
    assert "another command" in kept.log(spec)
    # And somebody else's broken file is told, and in nobody's way
    broken = kept.server.conf_d / "broken.conf"
    broken.write_text("[program:broken]\ncommand = true\nuser = nobody-of-that-name\n")
    report = kept.one(Verb.RESTART, changed)
    broken.unlink()
    assert (report.ok, report.state) == (True, State.RUNNING)
    assert "supervisord cannot read its files: CANT_REREAD" in report.message


def test_a_plain_process_is_told_and_moved_by_a_restart(kept: Kept) -> None:
    # Given a process that runs under a pidfile while the settings say supervisor
    spec = kept.installed()
    plain = PidfileManager().start(spec)
    assert plain.ok
    # Then status says so, and a start leaves it alone
    assert "does not run under supervisor" in kept.one(Verb.STATUS, spec).message
    assert kept.one(Verb.START, spec).message == "already running"
    # When it is restarted, then supervisor has it
    moved = kept.one(Verb.RESTART, spec)
    assert moved.ok, moved
    assert psutil.Process(moved.pid).ppid() == kept.program(spec).pid
    assert moved.timings.keys() == {"stop", "start"}


def test_a_migration_whose_lease_goes_between_stop_and_start_leaves_no_slot_empty(kept: Kept) -> None:
    # Given two plain processes that are given to supervisor, and a lease that goes to somebody else meanwhile
    specs = kept.installed(processes=2)
    assert all(PidfileManager().start(spec).ok for spec in specs)
    fence = FenceRecord(kept.shared)

    def overtake(event: Event) -> None:
        if event.step == "stopped":
            fence.admit(Fence(8, "ben"))

    request = Request(
        Verb.MIGRATE, "h1", tuple(specs), at_once=False, keeping=kept.keeping, shared=str(kept.shared),
        fence=Fence(7, "ann"),
    )  # fmt: skip
    # When they are migrated
    moved, left = carry_out(request, overtake).processes
    # Then the one that has begun is finished, and the other one is left where it is
    assert moved.ok, moved
    assert psutil.Process(moved.pid).ppid() == kept.program(specs[0]).pid
    assert left.message.startswith("not attempted: your lease (number 7) was taken over by ben")
    assert PidfileManager().status(specs[1]).state is State.RUNNING
    assert PidfileManager().stop(specs[1]).ok


def test_a_fresh_member_is_one_for_the_start_it_is_meant_for_alone(kept: Kept) -> None:
    # Given a start that is to leave groups first
    spec = kept.installed(fresh_member_of=("a", "b"))
    first = kept.one(Verb.START, spec)
    # When the process dies and supervisor starts it anew
    kept.kill(first.pid)
    kept.until(spec, State.RUNNING, other_than=first.pid)
    # Then only the first one was told
    told = [environment.get("KARAFKA_FRESH_MEMBER") for environment in kept.environments(spec)]
    assert told == ["a,b", None]
    assert not Path(spec.files.once).exists()


def test_a_process_without_progress_is_ended_and_started_again(kept: Kept) -> None:
    # Given a process that feeds its watchdog no more
    spec = kept.installed(watchdog_seconds=0.5)
    first = kept.one(Verb.START, spec)
    assert first.ok, first
    # Then it is ended, its log says why, and another one is started
    again = kept.until(spec, State.RUNNING, other_than=first.pid)
    assert f"process {first.pid} is ended: it made no progress for 0.5 s (watchdog)" in kept.log(spec)
    assert again.restarts >= 1
    assert kept.environments(spec)[0]["WATCHDOG_USEC"] == "500000"


def test_a_process_has_the_environment_of_its_user_and_its_secrets(kept: Kept) -> None:
    # Given a host with secrets, and a supervisord whose own environment is another user's
    kept.shared.mkdir(parents=True)
    secrets = kept.shared / "karafka.env"
    secrets.touch(0o600)
    secrets.write_text("PASSWORD='se cret'\nWHO=host\n")
    spec = kept.installed()
    # When it is started
    assert kept.one(Verb.START, spec).ok
    # Then the host's file wins, the user's own home is there, and the log is nobody's to open anew
    (environment,) = kept.environments(spec)
    assert (environment["PASSWORD"], environment["WHO"]) == ("se cret", "host")
    assert environment["HOME"] == pwd.getpwuid(os.getuid()).pw_dir
    assert "KARAFKA_LOG_FILE" not in environment
    assert not [name for name in environment if name.startswith("SUPERVISOR_")]


def test_a_wrapper_that_supervisor_had_to_kill_is_told(kept: Kept) -> None:
    # Given a wrapper that is frozen
    spec = kept.installed(stop_timeout_seconds=0.1)
    started = kept.one(Verb.START, spec)
    os.kill(kept.program(spec).pid, signal.SIGSTOP)
    # When the process is stopped, then supervisor kills the wrapper, the process ends with it, and that is said
    stopped = kept.one(Verb.STOP, spec)
    assert (stopped.ok, stopped.state) == (True, State.STOPPED)
    assert "its wrapper was killed" in stopped.message
    assert Identity.of(started.pid) is None


def test_what_is_in_the_way_is_told_with_what_to_do(kept: Kept, tmp_path: Path) -> None:
    # Given a program that was never installed
    spec = kept.spec()
    for verb in (Verb.START, Verb.RESTART):
        report = kept.one(verb, spec)
        assert (report.ok, report.state) == (False, State.STOPPED)
        assert "fab karafka.install" in report.message
    assert "fab karafka.install" in kept.one(Verb.STATUS, spec).message
    assert kept.one(Verb.STOP, spec).message == "not running"
    # Given a missing env file
    spec = kept.installed()
    Path(kept.shared / "programs" / "karafka-0.env").unlink()
    report = kept.one(Verb.START, spec)
    assert not report.ok
    assert any("the env file is missing" in line for line in report.log)
    # Given no supervisord
    kept.keeping = Keeping("supervisor", kept.name, socket=str(tmp_path / "nowhere"))
    for verb in (Verb.START, Verb.STOP, Verb.STATUS):
        report = kept.one(verb, spec)
        assert report.state is State.UNKNOWN or verb is not Verb.STATUS
        assert "karafka.supervisor.socket" in report.message


def test_a_program_with_files_of_before_keeps_its_process_until_it_is_installed_anew(kept: Kept) -> None:
    # Given a process whose program an older version of the tool has written, with files of the setting's own name
    slot = Slot("small", 0)
    before = kept.spec(name=str(slot), env={"KARAFKA_PROCESS": str(slot)})
    kept.server.install(kept.name, [before])
    old = kept.one(Verb.START, before)
    assert old.ok, old
    os.truncate(before.files.lock, 0)
    conf = str(kept.server.conf_d / f"karafka-{kept.name}.conf")
    manifest.write(str(kept.shared), keeping.SUPERVISOR, {conf: "digest"}, Places(sudo=False))
    # When its slot has files of its own name, then it is found, and not restarted into files that nobody looks at
    now = replace(before, files=SlotFiles.below(str(kept.shared), "tmp/pids/karafka.pid", slot))
    assert (kept.one(Verb.STATUS, now).state, kept.one(Verb.STATUS, now).pid) == (State.RUNNING, old.pid)
    refused = kept.one(Verb.RESTART, now)
    assert (refused.ok, refused.pid) == (False, old.pid)
    assert "fab karafka.install" in refused.message
    # And once its program is installed anew a restart moves it
    kept.server.place(kept.name, [now])
    moved = kept.one(Verb.RESTART, now)
    assert moved.ok, moved
    assert holder_of(Path(now.files.lock), Byte.OWNER) == moved.pid != old.pid
    assert holder_of(Path(before.files.lock), Byte.OWNER) is None
    # And a stop ends it there
    assert kept.one(Verb.STOP, now).state is State.STOPPED


def test_a_restart_with_a_command_that_is_not_there_stops_nobody(kept: Kept) -> None:
    # Given a running process
    spec = kept.installed()
    first = kept.one(Verb.START, spec)
    # When it is restarted with a misspelt command
    refused = kept.one(Verb.RESTART, replace(spec, command=(".venv/bin/pyhton", "consumer.py")))
    # Then it runs on
    assert (refused.ok, refused.state, refused.pid) == (False, State.RUNNING, first.pid)
    assert "the command .venv/bin/pyhton cannot be run" in refused.message
