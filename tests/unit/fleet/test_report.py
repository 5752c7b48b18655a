"""The exit code of a command that changes processes."""

from __future__ import annotations

import pytest

from ops.core.errors import OpsError, UnreachableError
from ops.core.protocol import ProcessReport, Response, Verb
from ops.core.section import load
from ops.core.states import State
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import make_plan
from ops.fleet.report import Kind, Outcome, Report
from ops.fleet.tasks.showing import settled_rows
from ops.render.processes import plain_lines

SETTINGS = load(
    {
        "application": "shop",
        "deploy_to": "/srv/shop",
        "command": "server",
        "processes": 2,
        "stages": {"test": {"hosts": [{"host": "a"}, {"host": "b"}]}},
    }
)
WELL = ProcessReport("karafka-0", State.STOPPED)
FAILED = ProcessReport("karafka-1", State.RUNNING, ok=False)
UNTOLD = ProcessReport("karafka-1", State.UNKNOWN, ok=False)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ((WELL,), (WELL,), 0),
        ((WELL, UNTOLD), (WELL,), 4),
        ((WELL, UNTOLD), None, 4),
        ((WELL, UNTOLD), (WELL, FAILED), 1),
        ((WELL, FAILED), None, 1),
    ],
)
def test_a_process_of_which_nobody_can_tell_is_as_an_unreachable_host(
    first: tuple[ProcessReport, ...], second: tuple[ProcessReport, ...] | None, expected: int
) -> None:
    # Given two hosts' answers to a stop; None for one that could not be reached
    plan = make_plan(SETTINGS, select(SETTINGS, Selection()), Verb.STOP)
    outcomes = [
        Outcome(action, Kind.UNREACHABLE, error=UnreachableError("away"))
        if said is None
        else Outcome(action, Kind.ANSWERED, Response(said))
        for action, said in zip(plan.actions, (first, second), strict=True)
    ]
    # Then what failed counts more than what is not known, and that more than what went well
    assert Report(plan, tuple(outcomes)).exit_code == expected


def test_the_last_table_is_of_that_moment_and_what_was_not_attempted_is_said_once() -> None:
    # Given a restart that ended at its preflight, and what is seen of the same processes then
    plan = make_plan(SETTINGS, select(SETTINGS, Selection()), Verb.RESTART)
    why = [OpsError("not attempted: the preflight was refused", where=action.target.name) for action in plan.actions]
    outcomes = tuple(
        Outcome(action, Kind.NOT_ATTEMPTED, error=one) for action, one in zip(plan.actions, why, strict=True)
    )
    look = make_plan(SETTINGS, select(SETTINGS, Selection()), Verb.STATUS)
    alive = tuple(ProcessReport(f"karafka-{index}", State.RUNNING, pid=7, uptime_seconds=34.0) for index in (0, 1))
    seen = Report(look, tuple(Outcome(action, Kind.ANSWERED, Response(alive)) for action in look.actions))
    # Then the table tells how they are, and below it stands one line for all hosts
    lines = plain_lines(settled_rows(Report(plan, outcomes), seen))
    assert [line.split()[-4:] for line in lines[1:5]] == [[f"karafka-{n}", "running", "7", "34s"] for n in (0, 1, 0, 1)]
    assert lines[5:] == ["a, b: not attempted: the preflight was refused"]


def test_what_failed_is_told_beside_how_the_process_is_by_now() -> None:
    # Given a process that did not come up, and was seen to be dead
    plan = make_plan(SETTINGS, select(SETTINGS, Selection.parse("a", None, "karafka-0")), Verb.START)
    failed = ProcessReport("karafka-0", State.STARTING, ok=False, message="it was not ready within 5 s")
    report = Report(plan, tuple(Outcome(action, Kind.ANSWERED, Response((failed,))) for action in plan.actions))
    dead = ProcessReport("karafka-0", State.DEAD, message="something else")
    seen = Report(plan, tuple(Outcome(action, Kind.ANSWERED, Response((dead,))) for action in plan.actions))
    # Then both are in its row and remark
    lines = plain_lines(settled_rows(report, seen))
    assert lines[1].split() == ["a", "karafka-0", "dead"]
    assert lines[2] == "a karafka-0: it was not ready within 5 s"


def test_what_was_left_alone_stands_in_the_last_table_too() -> None:
    # Given a restart of what is outdated: one process of a host was, the other runs the release already
    plan = make_plan(SETTINGS, select(SETTINGS, Selection.parse("a", None, "karafka-0")), Verb.RESTART)
    done = ProcessReport("karafka-0", State.RUNNING, pid=8, message="ready after 1 s")
    kept = ProcessReport("karafka-1", State.RUNNING, pid=7, message="already on release 2", kept=True)
    outcomes = tuple(Outcome(action, Kind.ANSWERED, Response((done,)), kept=(kept,)) for action in plan.actions)
    # Then the table has both, and says of the second one why nothing was done
    lines = plain_lines(settled_rows(Report(plan, outcomes)))
    assert [line.split()[-3:] for line in lines[1:3]] == [["karafka-0", "running", "8"], ["karafka-1", "running", "7"]]
    assert lines[3:] == ["a karafka-1: already on release 2"]
