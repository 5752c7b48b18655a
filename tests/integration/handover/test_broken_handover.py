"""Whatever dies in the middle of a handover: no message is lost, status tells the truth, and a second restart heals."""

from __future__ import annotations

import os
import signal

import pytest

from ops.core.deadline import Deadline
from ops.core.errors import ExitCode
from ops.core.identity import Identity
from ops.core.locks import Byte
from ops.core.protocol import Verb
from ops.core.states import State, exit_code_of_states
from tests.labs.handover_lab import HandoverLab

pytestmark = pytest.mark.xdist_group("handover lab")  # one process, which each test finds as the one before has left it


def well(lab: HandoverLab, *, repeats: bool = False) -> None:
    """Hold that it works, that nothing was lost, and that nothing is left over: the next test restarts it again."""
    assert lab.one(Verb.STATUS).state is State.RUNNING
    tally = lab.end_traffic()
    assert not tally.lost
    assert repeats or not tally.repeated, tally
    lab.assert_nothing_left()


def kill(process: Identity) -> None:
    assert process.send(signal.SIGKILL)
    assert Deadline(20).poll(lambda: not process.alive())


def test_an_agent_killed_before_the_request_changes_nothing_about_the_handover(lab: HandoverLab) -> None:
    # Given a replacement that prepares itself
    old = lab.until_running()
    generation = lab.generation()
    (lab.root / "hang").touch()
    agent = lab.agent(Verb.RESTART)
    lab.until_hanging()

    # When the agent is killed
    agent.kill()
    (lab.root / "hang").unlink()
    (lab.root / "hanging").unlink()

    # Then the replacement takes over all the same, and the group never noticed
    assert lab.until_running(other_than=old) != old
    assert lab.generation() == generation
    well(lab)


def test_an_agent_killed_after_the_request_changes_nothing_about_the_handover(lab: HandoverLab) -> None:
    # Given an owner that was asked, and finishes its batch
    old = lab.until_running()
    lab.hold()
    agent = lab.agent(Verb.RESTART)
    standby = lab.until_asked()
    during = lab.one(Verb.STATUS)

    # When the agent is killed, and the batch done
    agent.kill()
    lab.let_go()

    # Then the replacement works in its place; until then the row was the owner's, with a note
    assert (during.pid, during.state) == (old, State.RUNNING)
    assert f"process {standby.pid} is to replace it" in during.message
    assert lab.until_running(other_than=old) == standby.pid
    well(lab)


def test_a_cut_connection_leaves_the_agent_at_work(lab: HandoverLab) -> None:
    # Given an agent in the middle of a handover
    old = lab.until_running()
    lab.hold()
    agent = lab.agent(Verb.RESTART)
    standby = lab.until_asked()

    # When its connection is cut, as a dying sshd does it
    agent.stdin.close()
    agent.stdout.close()
    os.killpg(agent.pid, signal.SIGHUP)
    lab.let_go()

    # Then it ends the handover and notes it
    assert agent.wait(60) == 0
    assert lab.until_running(other_than=old) == standby.pid
    well(lab)


def test_a_standby_killed_before_it_is_warm_is_tried_once_more(lab: HandoverLab) -> None:
    # Given a replacement that prepares itself
    old = lab.until_running()
    (lab.root / "hang").touch()
    agent = lab.agent(Verb.RESTART)
    first = lab.until_hanging()

    # When it is killed
    (lab.root / "hang").unlink()
    kill(first)

    # Then a second one takes over
    events, response = lab.answer(agent)
    assert response.processes[0].ok, response
    assert response.processes[0].pid not in (old, first.pid)
    assert [event.step for event in events].count("spawned") == 2
    well(lab)


def test_a_standby_killed_after_it_was_warm_leaves_the_owner_at_work(lab: HandoverLab) -> None:
    # Given an owner that was asked, and finishes its batch
    old = lab.until_running()
    lab.hold()
    agent = lab.agent(Verb.RESTART)
    first = lab.until_asked()

    # When the replacement is killed, and the agent too, so that nobody tries again
    agent.kill()
    kill(first)
    lab.let_go()

    # Then the owner goes on
    assert Deadline(20).poll(lambda: "the replacement has gone; going on" in lab.log()), lab.log()
    assert lab.until_running() == old
    well(lab)


def test_a_standby_killed_after_it_was_warm_is_tried_once_more(lab: HandoverLab) -> None:
    # Given an owner that was asked, and finishes its batch
    old = lab.until_running()
    lab.hold()
    agent = lab.agent(Verb.RESTART)
    first = lab.until_asked()

    # When the replacement is killed
    kill(first)
    lab.until_held(Byte.WARM)
    lab.let_go()

    # Then a second one takes over
    report = lab.answer(agent)[1].processes[0]
    assert report.ok, report
    assert report.pid not in (old, first.pid)
    well(lab)


def test_old_new_and_agent_killed_leave_a_dead_slot_that_a_start_heals(lab: HandoverLab) -> None:
    # Given an owner that was asked, and finishes its batch
    old = Identity.of(lab.until_running())
    lab.hold()
    agent = lab.agent(Verb.RESTART)
    standby = lab.until_asked()

    # When all three are killed
    agent.kill()
    kill(standby)
    kill(old)
    lab.let_go()

    # Then status says that the handover was broken off, and a start heals it
    report = lab.one(Verb.STATUS)
    assert report.state is State.DEAD
    assert "handover was broken off" in report.message
    assert exit_code_of_states([report.state]) is ExitCode.FAILED
    assert lab.one(Verb.START).ok
    well(lab, repeats=True)


def test_an_owner_killed_while_it_drains_is_replaced_at_once(lab: HandoverLab) -> None:
    # Given an owner that was asked, and finishes its batch
    old = Identity.of(lab.until_running())
    lab.hold()
    agent = lab.agent(Verb.RESTART)
    standby = lab.until_asked()

    # When it is killed
    kill(old)
    lab.let_go()

    # Then its replacement has the slot
    report = lab.answer(agent)[1].processes[0]
    assert report.ok, report
    assert report.pid == standby.pid
    well(lab, repeats=True)


def test_a_frozen_owner_is_killed_by_its_replacement_after_the_drain_deadline(lab: HandoverLab) -> None:
    # Given an owner that is frozen
    old = Identity.of(lab.until_running())
    old.send(signal.SIGSTOP)

    # When it is restarted with three seconds to drain
    events, response = lab.answer(lab.agent(Verb.RESTART, lab.changed(stop_timeout_seconds=3.0)))
    (report,) = response.processes

    # Then it was killed, which is said in so many words, and its replacement works
    assert report.ok, f"{report}\n{lab.log()}"
    killed = f"process {old.pid} was killed: it did not hand over within 3 s"
    assert killed in report.message
    assert killed in [one.detail for one in events if one.step == "killed"]
    assert not old.alive()
    assert report.timings["drain"] >= 3.0
    well(lab, repeats=True)


def test_a_release_that_raises_at_import_never_touches_the_owner(lab: HandoverLab) -> None:
    # Given a new release that is broken
    old = lab.until_running()
    (lab.root / "raise").touch()

    # When it is rolled out
    events, response = lab.answer(lab.agent(Verb.RESTART))

    # Then it failed with its own words, once, and the owner never noticed
    report = response.processes[0]
    assert not report.ok
    assert report.pid == old
    assert report.state is State.RUNNING
    assert any("this release is broken" in line for line in report.log)
    assert [event.step for event in events].count("spawned") == 1
    assert "asked" not in lab.log()
    (lab.root / "raise").unlink()
    well(lab)


def test_a_replacement_that_never_gets_warm_is_ended_and_the_owner_never_notices(lab: HandoverLab) -> None:
    # Given a new release that hangs at its start
    old = lab.until_running()
    (lab.root / "hang").touch()

    # When it is rolled out with two seconds to get warm
    events, response = lab.answer(lab.agent(Verb.RESTART, lab.changed(start_timeout_seconds=2.0)))

    # Then it was tried twice, and the owner goes on
    report = response.processes[0]
    assert not report.ok
    assert report.pid == old
    assert [event.step for event in events].count("spawned") == 2
    assert "asked" not in lab.log()
    (lab.root / "hang").unlink()
    well(lab)


def test_two_restarts_at_once_come_one_after_the_other(lab: HandoverLab) -> None:
    # Given two operators
    old = lab.until_running()
    generation = lab.generation()

    # When both restart at the same time
    agents = [lab.agent(Verb.RESTART) for _ in range(2)]
    reports = [lab.answer(agent)[1].processes[0] for agent in agents]

    # Then both were carried out, by two processes, and the group never noticed
    assert all(report.ok for report in reports), reports
    assert len({old, *(report.pid for report in reports)}) == 3
    assert lab.generation() == generation
    well(lab)


def test_a_successor_killed_before_it_was_ready_is_replaced_by_a_plain_start(lab: HandoverLab) -> None:
    # Given a replacement that is frozen while the owner finishes its batch
    old = Identity.of(lab.until_running())
    lab.hold()
    agent = lab.agent(Verb.RESTART)
    standby = lab.until_asked()
    standby.send(signal.SIGSTOP)
    lab.let_go()
    assert Deadline(20).poll(lambda: not old.alive()), lab.log()

    # When it dies before it works; until then status says that it waits without its partner
    report = lab.one(Verb.STATUS)
    assert (report.state, report.pid) == (State.STANDBY, standby.pid)
    assert exit_code_of_states([report.state]) is ExitCode.STOPPED
    kill(standby)

    # Then the agent, which finds the slot empty, starts a process
    report = lab.answer(agent)[1].processes[0]
    assert report.ok, report
    assert "the slot was empty" in report.message
    well(lab)


def test_a_stop_in_the_middle_of_a_handover_stops_both(lab: HandoverLab) -> None:
    # Given an owner that was asked, and finishes its batch, and nobody who looks after the handover
    lab.until_running()
    lab.hold()
    agent = lab.agent(Verb.RESTART)
    lab.until_asked()
    agent.kill()

    # When the slot is stopped
    stopping = lab.agent(Verb.STOP)
    lab.until_free(Byte.REPLACING)
    lab.let_go()
    report = lab.answer(stopping)[1].processes[0]

    # Then neither is left
    assert report.ok, report
    assert report.state is State.STOPPED
    assert not lab.processes()
    assert lab.one(Verb.START).ok
    well(lab)


@pytest.mark.parametrize("change", [{"standby": "off"}, {"readiness": "alive"}])
def test_without_a_standby_it_is_stopped_and_started(lab: HandoverLab, change: dict[str, object]) -> None:
    # Given a process that could hand over
    old = lab.until_running()

    # When it is restarted by settings that want none
    report = lab.one(Verb.RESTART, lab.changed(**change))

    # Then it was stopped and started
    assert report.ok, report
    assert report.pid != old
    assert report.timings.keys() == {"stop", "start"}
    well(lab)
