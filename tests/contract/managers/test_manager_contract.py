"""What every manager of processes promises, real or fake."""

from __future__ import annotations

import re
from dataclasses import replace

from ops.core.deadline import Deadline
from ops.core.protocol import ProcessReport
from ops.core.states import State
from ops.node.managers.fake import Behaviour
from tests.labs.manager_worlds import World


def restarted(report: ProcessReport) -> ProcessReport | None:
    return report if report.state is State.RUNNING and report.restarts else None


def test_what_was_never_started_is_stopped(world: World) -> None:
    # Given a place that was never used
    report = world.manager.status(world.spec(Behaviour.SERVES))
    # Then it is stopped, and asking was fine
    assert (report.name, report.state, report.pid, report.ok) == ("karafka-0", State.STOPPED, None, True)
    assert report.restarts == 0


def test_a_start_makes_it_run(world: World) -> None:
    # Given a command that serves
    spec = world.spec(Behaviour.SERVES)
    # When it is started
    report = world.manager.start(spec)
    # Then it runs, ready, and a status agrees
    assert (report.state, report.ok) == (State.RUNNING, True)
    assert report.message.startswith("ready after ")
    status = world.manager.status(spec)
    assert (status.state, status.pid, status.restarts) == (State.RUNNING, report.pid, 0)


def test_a_second_start_changes_nothing(world: World) -> None:
    # Given a running process
    spec = world.spec(Behaviour.SERVES)
    first = world.manager.start(spec)
    # When it is started again
    again = world.manager.start(spec)
    # Then it is the same, and that is a success
    assert (again.ok, again.pid, again.message) == (True, first.pid, "already running")


def test_a_stop_makes_it_end(world: World) -> None:
    # Given a running process
    spec = world.spec(Behaviour.SERVES)
    world.manager.start(spec)
    # When it is stopped
    report = world.manager.stop(spec)
    # Then it is, and a status agrees
    assert (report.state, report.ok, report.pid) == (State.STOPPED, True, None)
    assert report.message.startswith("ended after ")
    assert world.manager.status(spec).state is State.STOPPED


def test_a_stop_of_what_does_not_run_is_a_success(world: World) -> None:
    # Given a place that was never used
    report = world.manager.stop(world.spec(Behaviour.SERVES))
    # Then a stop is fine
    assert (report.state, report.ok, report.message) == (State.STOPPED, True, "not running")


def test_a_restart_is_another_process(world: World) -> None:
    # Given a running process
    spec = world.spec(Behaviour.SERVES)
    first = world.manager.start(spec)
    # When it is restarted
    report = world.manager.restart(spec)
    # Then another runs, and the count says so
    assert (report.ok, report.state, report.restarts) == (True, State.RUNNING, 1)
    assert report.pid != first.pid
    assert report.message.startswith("ended after ")


def test_a_restart_of_what_does_not_run_starts_it(world: World) -> None:
    # Given a place that was never used
    report = world.manager.restart(world.spec(Behaviour.SERVES))
    # Then a restart is a start
    assert (report.ok, report.state, report.restarts) == (True, State.RUNNING, 0)
    assert report.message.startswith("not running; ready after ")


def test_a_restart_of_what_is_outdated_leaves_alone_what_runs_the_release(world: World) -> None:
    # Given a running process
    spec = replace(world.spec(Behaviour.SERVES), only_outdated=True)
    first = world.manager.start(replace(spec, only_outdated=False))
    # When what is outdated is restarted
    same = world.manager.restart(spec)
    # Then it is left alone, as it is not
    assert (same.ok, same.kept, same.pid, same.message) == (True, True, first.pid, "already on release 1")
    # And once `current` leads to another release, it is another process
    world.release("2")
    other = world.manager.restart(spec)
    assert (other.ok, other.kept, other.state, other.release) == (True, False, State.RUNNING, "2")
    assert other.pid != first.pid
    # And one that was stopped is started
    world.manager.stop(spec)
    started = world.manager.restart(spec)
    assert (started.ok, started.kept, started.state) == (True, False, State.RUNNING)


def test_a_command_that_exits_at_once_is_a_failed_start(world: World) -> None:
    # Given a command that exits with 3
    spec = world.spec(Behaviour.EXITS)
    # When it is started
    report = world.manager.start(spec)
    # Then the start failed, with the code and what it said
    assert (report.ok, report.state, report.pid) == (False, State.DEAD, None)
    assert report.message.startswith("it exited with 3 after ")
    assert report.log == ("exiting",)


def test_a_command_that_is_never_ready_is_ended(world: World) -> None:
    # Given a command that runs and never says it is ready
    spec = world.spec(Behaviour.NEVER_READY)
    # When it is started
    report = world.manager.start(spec)
    # Then the start failed, and it does not run
    assert (report.ok, report.state, report.pid) == (False, State.DEAD, None)
    assert report.message.startswith("it was not ready within 2 s; ended after ")


def test_a_process_that_ignores_term_is_killed(world: World) -> None:
    # Given a process that ignores TERM
    spec = world.spec(Behaviour.IGNORES_TERM)
    world.manager.start(spec)
    # When it is stopped
    report = world.manager.stop(spec)
    # Then it was killed, and that is said
    assert (report.ok, report.state) == (True, State.STOPPED)
    assert re.match(r"killed after \d+\.\d s: it did not end on TERM$", report.message)


def test_a_process_that_died_is_dead_or_restarted_by_whoever_keeps_it(world: World) -> None:
    # Given a process killed behind the manager's back
    spec = world.spec(Behaviour.SERVES)
    first = world.manager.start(spec)
    world.kill(spec)
    # Then whoever keeps processes starts it again, and that counts
    if world.restarts_the_dead:
        report = Deadline(10.0).poll(lambda: restarted(world.manager.status(spec)), every=0.1)
        assert report.pid != first.pid
        assert report.restarts == 1
        return
    # Else it is dead
    dead = world.manager.status(spec)
    assert (dead.state, dead.pid) == (State.DEAD, None)
    # And a start makes it right
    report = world.manager.start(spec)
    assert (report.ok, report.state, report.restarts) == (True, State.RUNNING, 1)


def test_processes_are_apart(world: World) -> None:
    # Given two running processes
    one, two = world.spec(Behaviour.SERVES, 0), world.spec(Behaviour.SERVES, 1)
    world.manager.start(one)
    other = world.manager.start(two)
    # When one is stopped, then the other goes on
    world.manager.stop(one)
    assert world.manager.status(one).state is State.STOPPED
    assert (world.manager.status(two).state, world.manager.status(two).pid) == (State.RUNNING, other.pid)
