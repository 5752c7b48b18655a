"""The operator's end of the lease, against a real keeper without a network between them."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ops.core.deadline import Deadline
from ops.core.errors import ExitCode, LockHeldError, OpsError, UnreachableError, exit_code_of
from ops.core.lease import LeaseAction
from ops.core.protocol import Request, Response, encode_line
from ops.fleet.conversation import NotSetUpError
from ops.fleet.lease import Lease, LeaseLostError
from ops.fleet.lease_host import LeaseHost, ci_run
from ops.fleet.transport import Target
from ops.fleet.transport.fake import Answer, FakeTransport
from ops.node.lease import HostClock, LeaseKeeper

TARGET = Target("h1", "h1")


class Stage:
    """The host that keeps the lease; `fail` makes it unreachable, `sleeps` moves both ends' clocks."""

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.ahead = 0.0
        self.fail: OpsError | None = None
        self.asked: list[LeaseAction] = []
        self.keeper = LeaseKeeper(shared, HostClock(boot=self.clock))
        self.one = threading.Lock()  # a host's agents are processes, which its lock keeps apart

    def clock(self) -> float:
        return time.monotonic() + self.ahead

    def answer(self, _: tuple[str, ...], data: bytes) -> Answer:
        call = Request.decode(data.decode()).lease
        assert call is not None
        self.asked.append(call.action)
        if self.fail is not None:
            raise self.fail
        with self.one:
            return Answer([encode_line(Response((), lease=self.keeper.answer(call))).encode()])

    @property
    def host(self) -> LeaseHost:
        return LeaseHost(FakeTransport({"h1": self.answer}), TARGET, ("agent",), str(self.shared))

    def lease(self, reason: str = "restart", **options: object) -> Lease:
        return Lease(self.host, reason, clock=self.clock, **options)  # type: ignore[arg-type]

    def until(self, probe: Callable[[], bool]) -> bool:
        return Deadline(10).poll(probe)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "shared")


def test_it_is_held_while_the_block_runs_and_free_after_it(stage: Stage) -> None:
    # Given a lease that is taken
    with stage.lease("deploy 42") as lease:
        shown = stage.host.show().lease
        # Then the host says so, and requests under it carry its number
        assert (shown.held, shown.reason, shown.number) == (True, "deploy 42", lease.number)
        assert lease.fence.number == lease.number
        lease.check()
    # And it is free after the block
    assert stage.host.show().lease.ended == "released by its owner"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_it_is_given_back_whatever_ends_the_block(stage: Stage, error: type[BaseException]) -> None:
    # Given a block that ends by an exception
    with pytest.raises(error), stage.lease():
        raise error
    # Then the lease is free
    assert not stage.host.show().lease.held


def test_the_refused_one_learns_who_has_it_why_since_when_and_until_when(stage: Stage) -> None:
    # Given a lease that is held
    with stage.lease("deploy 42") as first:
        # When another one asks for it
        with pytest.raises(LockHeldError) as refused, stage.lease():
            pytest.fail("two have it")
        # Then it is told, and the command's exit code is that of a lock
        assert first.fence.holder in refused.value.what
        assert "has the lease, for 'deploy 42', since " in refused.value.what
        assert "without a renewal it ends in 60 s" in refused.value.what
        assert exit_code_of(refused.value) is ExitCode.LOCK_HELD
        # And the first one still has it
        assert stage.host.show().lease.number == first.number


def test_one_that_waits_gets_it_when_it_is_given_back_and_says_meanwhile_for_whom(stage: Stage) -> None:
    # Given somebody who has it, and somebody who waits
    said: list[str] = []
    first = stage.lease("deploy 42", ttl_seconds=1.0)
    got = threading.Event()

    def second() -> None:
        with stage.lease("restart", wait_seconds=30, say=said.append):
            got.set()

    with first:
        thread = threading.Thread(target=second)
        thread.start()
        assert stage.until(lambda: bool(said))
        assert not got.is_set()
    # When it is given back, then the other one has it, and said once for whom it waited
    assert got.wait(10)
    thread.join(10)
    assert len(said) == 1
    assert "waiting for the lease: " in said[0]
    assert "deploy 42" in said[0]


def test_the_heartbeat_keeps_it_beyond_its_time(stage: Stage) -> None:
    # Given a lease of 0.6 s
    with stage.lease(ttl_seconds=0.6) as lease:
        # When four renewals have passed
        assert stage.until(lambda: stage.asked.count(LeaseAction.RENEW) >= 4)
        # Then it is held, under its number
        assert stage.host.show().lease.held
        assert stage.host.show().lease.number == lease.number
        assert not lease.lost.is_set()


def test_a_renewal_that_fails_is_tried_again_and_said_once(stage: Stage) -> None:
    # Given a host that is away for a moment
    said: list[str] = []
    with stage.lease(ttl_seconds=1.5, say=said.append) as lease:
        stage.fail = UnreachableError("the connection broke", where="h1")
        before = len(stage.asked)
        assert stage.until(lambda: len(stage.asked) >= before + 2)
        # When it comes back
        stage.fail = None
        after = len(stage.asked)
        assert stage.until(lambda: len(stage.asked) > after)
        # Then the lease was never lost
        assert not lease.lost.is_set()
        assert stage.host.show().lease.held
    assert said == ["the lease could not be renewed, trying again: h1: the connection broke"]


def test_a_renewal_that_hangs_leaves_time_for_another(stage: Stage) -> None:
    # Given a lease whose first renewal is never answered
    hung = threading.Event()

    def answer(command: tuple[str, ...], data: bytes) -> Answer:
        if not hung.is_set() and b'"renew"' in data:
            hung.set()
            return Answer([], hold=threading.Event())
        return stage.answer(command, data)

    keeper = LeaseHost(FakeTransport({"h1": answer}), TARGET, ("agent",), str(stage.shared))
    with Lease(keeper, "restart", clock=stage.clock, ttl_seconds=1.5) as lease:
        # When its time is over
        assert stage.until(lambda: stage.asked.count(LeaseAction.RENEW) >= 3)
        # Then it is held
        assert hung.is_set()
        lease.check()
        assert stage.host.show().lease.held


def test_renewals_that_hang_on_one_connection_are_made_by_others(stage: Stage) -> None:
    # Given a lease whose renewals hang for ever on the connection that it was taken by, as after a change of networks
    tries = {"kept": 0, "own": 0}

    def kept(command: tuple[str, ...], data: bytes) -> Answer:
        if b'"renew"' in data:
            tries["kept"] += 1
            threading.Event().wait(30)
        return stage.answer(command, data)

    def own(command: tuple[str, ...], data: bytes) -> Answer:
        tries["own"] += 1
        if tries["own"] % 3 == 1:  # not each of them comes through, either
            threading.Event().wait(30)
        return stage.answer(command, data)

    said: list[str] = []
    keeper = LeaseHost(
        FakeTransport({"h1": kept}), TARGET, ("agent",), str(stage.shared), lambda: FakeTransport({"h1": own})
    )
    with Lease(keeper, "restart", clock=stage.clock, ttl_seconds=1.2, say=said.append) as lease:
        # When its time is over
        assert stage.until(lambda: stage.asked.count(LeaseAction.RENEW) >= 3)
        # Then it is held, whatever hangs
        lease.check()
        assert tries["kept"] >= 1
        assert stage.host.show().lease.held
    # And it was said what was tried again
    assert said[0] == "the lease could not be renewed, trying again: h1: no answer within 0.2 s"


def test_one_that_cannot_be_renewed_in_time_is_lost_for_good(stage: Stage) -> None:
    # Given a host that goes away
    with stage.lease(ttl_seconds=0.6) as lease:
        stage.fail = UnreachableError("the connection broke", where="h1")
        # Then its owner knows, no later than the host would give it to somebody else
        assert lease.lost.wait(5)
        # And it stays so when the host comes back
        stage.fail = None
        with pytest.raises(LeaseLostError, match="is lost: it could not be renewed in time"):
            lease.check()


def test_an_operator_who_slept_knows_it_before_the_next_step(stage: Stage) -> None:
    # Given an operator whose laptop was closed for longer than the lease lasts
    with stage.lease() as lease:
        stage.ahead += 61
        # Then the first look says so, before any renewal could have
        with pytest.raises(LeaseLostError) as lost:
            lease.check()
        assert lease.lost.is_set()
        assert exit_code_of(lost.value) is ExitCode.LOCK_HELD


def test_one_that_is_broken_is_lost_with_the_reason_and_not_given_back_again(stage: Stage) -> None:
    # Given a lease that somebody breaks
    with stage.lease(ttl_seconds=0.6) as lease:
        broken = stage.host.break_open("left behind").lease
        # Then its owner learns it from the next renewal
        assert lease.lost.wait(5)
        with pytest.raises(LeaseLostError, match=r"broken by .*: left behind"):
            lease.check()
    # And leaves it alone
    assert stage.host.show().lease.number == broken.number > lease.number
    assert LeaseAction.RELEASE not in stage.asked


def test_a_host_that_cannot_be_reached_is_exit_code_4(stage: Stage) -> None:
    # Given a first host that is away, then nobody works without a lease
    stage.fail = UnreachableError("no route to host", where="h1")
    with pytest.raises(UnreachableError) as error, stage.lease():
        pytest.fail("without a lease")
    assert exit_code_of(error.value) is ExitCode.UNREACHABLE


def test_a_host_that_was_never_set_up_is_not_told_of_a_lease_that_it_never_gave(stage: Stage) -> None:
    # Given a first host without the tool
    stage.fail = NotSetUpError("karafka-ops is not set up here", where="h1", hint="fab karafka.setup")
    said: list[str] = []
    # When somebody wants the lease
    with pytest.raises(NotSetUpError), stage.lease(say=said.append):
        pytest.fail("without a lease")
    # Then nothing is given back, and the error is all that is said
    assert (stage.asked, said) == ([LeaseAction.ACQUIRE], [])


def test_signals_are_as_before_afterwards(stage: Stage) -> None:
    # Given a process with its own way of ending
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)]
    # When a lease came and went, and one was refused
    with stage.lease():
        assert signal.getsignal(signal.SIGTERM) is not before[0]
        with pytest.raises(LockHeldError), stage.lease():
            pytest.fail("two have it")
    # Then it ends as before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)] == before


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, ""),
        ({"CI_JOB_URL": "https://gitlab.example.com/a/b/-/jobs/9"}, "https://gitlab.example.com/a/b/-/jobs/9"),
        ({"GITHUB_RUN_ID": "7", "GITHUB_REPOSITORY": "a/b"}, "https://github.com/a/b/actions/runs/7"),
        (
            {"GITHUB_RUN_ID": "7", "GITHUB_REPOSITORY": "a/b", "GITHUB_SERVER_URL": "https://git.example.com"},
            "https://git.example.com/a/b/actions/runs/7",
        ),
    ],
)
def test_a_ci_run_is_known_by_its_address(environ: dict[str, str], address: str) -> None:
    # Given what CI systems tell their jobs, then the address is made of it
    assert ci_run(environ) == address
