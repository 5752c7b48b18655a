"""The exit code of a command that changes processes."""

from __future__ import annotations

import pytest

from ops.core.errors import UnreachableError
from ops.core.protocol import ProcessReport, Response, Verb
from ops.core.section import load
from ops.core.states import State
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import make_plan
from ops.fleet.report import Kind, Outcome, Report

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
