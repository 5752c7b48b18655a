"""A restart with checkpoints: what a refusal, before or between batches, leaves untouched."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ops.core.errors import GateRefusedError
from ops.core.protocol import Event, ProcessReport, Response, Verb, encode_line
from ops.core.section import load
from ops.core.states import State
from ops.fleet.inventory import Selection, select
from ops.fleet.plan import Plan, make_plan
from ops.fleet.report import Outcome
from ops.fleet.rollout import carry_out
from ops.fleet.transport.fake import Answer, FakeTransport


class Silent:
    def event(self, host: str, event: Event) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...

    def interrupted(self, hosts: tuple[str, ...]) -> None: ...


class RefusesAfter:
    """Refuses after so many batches; Ctrl-C comes instead where `error` says so."""

    def __init__(self, batches: int, error: type[BaseException] = GateRefusedError) -> None:
        self.batches = batches
        self.error = error

    def preflight(self, plan: Plan) -> Plan:
        self.after(0, ())
        return plan

    def after(self, number: int, outcomes: Sequence[Outcome]) -> None:  # noqa: ARG002
        if number == self.batches:
            raise self.error("lag 7")


@pytest.mark.parametrize(
    ("batches", "error", "asked", "code"),
    [
        (0, GateRefusedError, [], 11),
        (1, GateRefusedError, ["host1"], 11),
        (1, KeyboardInterrupt, ["host1"], 130),
        (9, GateRefusedError, ["host1", "host2"], 0),
    ],
)
def test_nothing_is_begun_after_a_refusal(
    batches: int, error: type[BaseException], asked: list[str], code: int
) -> None:
    # Given two hosts that restart well
    hosts = [{"host": "host1"}, {"host": "host2"}]
    settings = load({"application": "a", "deploy_to": "/srv/a", "command": "run", "stages": {"test": {"hosts": hosts}}})
    line = encode_line(Response((ProcessReport("karafka-0", State.RUNNING),)))
    answer = Answer([f"{line}\n".encode()])
    transport = FakeTransport({"host1": answer, "host2": answer})
    # When a checkpoint refuses
    plan = make_plan(settings, select(settings, Selection()), Verb.RESTART)
    report = carry_out(plan, transport, Silent(), RefusesAfter(batches, error))
    # Then the hosts after it are left alone and listed, and the exit code says why
    assert [one.target.name for one in transport.asked] == asked
    assert len(report.outcomes) == 2
    assert report.exit_code == code
