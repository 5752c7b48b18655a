"""A lease that a deploy's hooks inherit, against a real keeper without a network between them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ops.core.errors import UnreachableError
from ops.core.protocol import Request, Response, encode_line
from ops.core.section import load
from ops.fleet.inherited_lease import VARIABLE, InheritedLease, lease_of, text_of
from ops.fleet.lease import Lease, LeaseLostError
from ops.fleet.lease_host import LeaseHost
from ops.fleet.transport import Target
from ops.fleet.transport.fake import Answer, FakeTransport
from ops.node.lease import LeaseKeeper

SETTINGS = load(
    {"application": "shop", "deploy_to": "/srv", "command": "x", "stages": {"live": {"hosts": [{"host": "h1"}]}}}
)


@pytest.fixture
def keeper(tmp_path: Path) -> LeaseHost:
    kept = LeaseKeeper(tmp_path / "shared")

    def answer(_: tuple[str, ...], data: bytes) -> Answer:
        call = Request.decode(data.decode()).lease
        assert call is not None
        return Answer([encode_line(Response((), lease=kept.answer(call))).encode()])

    return LeaseHost(FakeTransport({"h1": answer}), Target("h1", "h1"), ("agent",), str(tmp_path / "shared"))


def test_what_a_hook_starts_works_under_the_same_number_and_gives_nothing_back(keeper: LeaseHost) -> None:
    # Given a deploy that has the lease, and a hook's environment
    with Lease(keeper, "deploy") as lease:
        environ = {VARIABLE: text_of(SETTINGS, lease.fence)}
        # When a command begins below it
        with lease_of(SETTINGS, keeper, "restart", environ=environ) as inherited:
            # Then it is let in, under the same number
            assert isinstance(inherited, InheritedLease)
            assert inherited.fence == lease.fence
            inherited.check()
        # And after its end the deploy still has it
        lease.check()
        assert keeper.show().lease.held
        # And once it is somebody else's, the command does nothing more
        keeper.break_open("by hand")
        with pytest.raises(LeaseLostError, match="does not stand any more"):
            inherited.check()
        with (
            pytest.raises(LeaseLostError),
            lease_of(SETTINGS, keeper, "restart", environ=environ),
        ):
            pass


def test_a_connection_that_has_been_cut_does_not_end_what_a_hook_started(keeper: LeaseHost) -> None:
    # Given a command below a deploy whose kept connection does not answer any more
    def cut(_: tuple[str, ...], __: bytes) -> Answer:
        raise UnreachableError("no answer within 15 s", where="h1")

    with Lease(keeper, "deploy") as lease:
        environ = {VARIABLE: text_of(SETTINGS, lease.fence)}
        kept = replace(keeper, transport=FakeTransport({"h1": cut}), anew=lambda: keeper.transport)
        # When it begins, and goes on, then it asks by another one
        with lease_of(SETTINGS, kept, "restart", environ=environ) as inherited:
            inherited.check()


@pytest.mark.parametrize(
    "text", ["", "shop/staging 7 me", "other/live 7 me", "shop/live x me", "shop/live ² me", "garbage"]
)
def test_of_another_stage_or_without_it_a_command_takes_its_own(keeper: LeaseHost, text: str) -> None:
    # Given no variable, or one of another application or stage
    # Then the lease is the command's own
    with lease_of(SETTINGS, keeper, "restart", environ={VARIABLE: text}) as lease:
        assert isinstance(lease, Lease)
        lease.check()
