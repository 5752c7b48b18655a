"""The lease on its host: who has it, for how long, and what survives."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.core.errors import LockHeldError, OpsError
from ops.core.lease import Fence, LeaseAction, LeaseAnswer, LeaseCall
from ops.node.fence import FenceRecord
from ops.node.lease import HostClock, LeaseKeeper

NOON = 1_800_000_000.0


@dataclass
class Time:
    """A host's clocks, set by hand."""

    boot: float = 1000.0
    boot_id: str = "first boot"
    wall: float = NOON

    def clock(self) -> HostClock:
        return HostClock(lambda: self.boot, lambda: self.boot_id, lambda: self.wall)

    def passes(self, seconds: float) -> None:
        self.boot += seconds
        self.wall += seconds


class Stage:
    """A stage's lease, and two people who want it."""

    def __init__(self, shared: Path) -> None:
        self.time = Time()
        self.shared = shared
        self.file = shared / "tmp" / "lease.json"
        self.keeper = LeaseKeeper(shared, self.time.clock())

    def ask(self, action: LeaseAction, who: str, **more: object) -> LeaseAnswer:
        call = LeaseCall(action, key=f"key of {who}", holder=who, reason=f"{who}'s work", ttl_seconds=60.0)
        return self.keeper.answer(replace(call, **more))  # type: ignore[arg-type]

    def acquire(self, who: str) -> LeaseAnswer:
        return self.ask(LeaseAction.ACQUIRE, who)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "shared")


def test_the_second_one_is_refused_and_told_who_has_it_why_since_when_and_for_how_long(stage: Stage) -> None:
    # Given a lease that somebody has had for ten seconds
    stage.ask(LeaseAction.ACQUIRE, "ann", run="https://ci.example.com/7")
    stage.time.passes(10)
    # When another one asks for it
    answer = stage.acquire("ben")
    # Then it is refused, and the answer says all of that
    assert not answer.ok
    lease = answer.lease
    assert (lease.held, lease.holder, lease.reason, lease.run) == (
        True,
        "ann",
        "ann's work",
        "https://ci.example.com/7",
    )
    assert (lease.since, lease.held_seconds, lease.expires_seconds) == (NOON, 10, 50)


def test_a_lease_asked_for_again_under_its_key_is_the_same_one(stage: Stage) -> None:
    # Given a lease whose grant got lost on its way back
    first = stage.acquire("ann")
    stage.time.passes(30)
    # When its owner asks again
    again = stage.acquire("ann")
    # Then it has it, under the same number and for its whole time
    assert again.ok
    assert again.lease.number == first.lease.number
    assert again.lease.expires_seconds == 60


def test_renewals_keep_it_and_without_them_it_expires(stage: Stage) -> None:
    # Given a lease that is renewed
    number = stage.acquire("ann").lease.number
    for _ in range(5):
        stage.time.passes(50)
        assert stage.ask(LeaseAction.RENEW, "ann").lease.expires_seconds == 60
    # When it no longer is
    stage.time.passes(60)
    # Then somebody else gets it, under a higher number
    taken = stage.acquire("ben")
    assert taken.ok
    assert taken.lease.number > number
    # And the first one's renewal is refused, naming the other
    late = stage.ask(LeaseAction.RENEW, "ann")
    assert not late.ok
    assert late.message == f"ben has it now (number {taken.lease.number})"


def test_a_lease_that_expired_is_not_renewed_even_if_nobody_else_has_it(stage: Stage) -> None:
    # Given an owner that slept too long
    stage.acquire("ann")
    stage.time.passes(75)
    # When it renews
    late = stage.ask(LeaseAction.RENEW, "ann")
    # Then it is told that it is over
    assert not late.ok
    assert late.message == "your lease has ended: not renewed, it expired 15 s ago"


@pytest.mark.parametrize("jump", [-10 * 365 * 86_400.0, -3600.0, 3600.0, 10 * 365 * 86_400.0])
def test_setting_the_hosts_clock_neither_ends_nor_prolongs_it(stage: Stage, jump: float) -> None:
    # Given a lease of which 59 s have passed
    number = stage.acquire("ann").lease.number
    stage.time.passes(59)
    # When the time of day is set
    stage.time.wall += jump
    # Then it is still held, and a second later it is not
    assert not stage.acquire("ben").ok
    assert stage.ask(LeaseAction.SHOW, "ben").lease.held_seconds == 59
    stage.time.boot += 1
    taken = stage.acquire("ben")
    assert taken.ok
    # And the number grows all the same
    assert taken.lease.number > number


def test_a_restart_of_the_host_ends_it_and_the_number_grows_on(stage: Stage) -> None:
    # Given a lease, on a host whose boot clock then begins again
    number = stage.acquire("ann").lease.number
    stage.time.boot, stage.time.boot_id, stage.time.wall = 5.0, "second boot", 0.0
    # When its owner renews it, and somebody else asks for it
    renewed = stage.ask(LeaseAction.RENEW, "ann")
    taken = stage.acquire("ben")
    # Then it is over, and the other has it
    assert renewed.message == "your lease has ended: the host was restarted"
    assert taken.ok
    assert taken.lease.number > number


def test_only_its_owner_gives_it_back(stage: Stage) -> None:
    # Given a lease
    number = stage.acquire("ann").lease.number
    # When somebody else gives it back
    refused = stage.ask(LeaseAction.RELEASE, "ben")
    # Then it stays
    assert not refused.ok
    assert refused.message == f"ann has it now (number {number})"
    assert stage.ask(LeaseAction.SHOW, "ben").lease.held
    # When its owner does
    given = stage.ask(LeaseAction.RELEASE, "ann")
    # Then nobody has it, what it was for is still to be read, and the next number is higher
    assert given.ok
    assert (given.lease.held, given.lease.holder, given.lease.ended) == (False, "ann", "released by its owner")
    assert stage.acquire("ben").lease.number > number


def test_a_break_ends_it_raises_the_number_and_says_who_did_it(stage: Stage) -> None:
    # Given a lease that nobody seems to renew any more
    number = stage.acquire("ann").lease.number
    # When it is broken
    broken = stage.ask(LeaseAction.BREAK, "ben", reason="ann has gone home", above=number + 1000)
    # Then it is free under a number above all that any host has seen
    assert not broken.lease.held
    assert broken.lease.number == number + 1001
    # And its owner is told
    assert stage.ask(LeaseAction.RENEW, "ann").message == "nobody has it: broken by ben: ann has gone home"
    assert stage.acquire("ben").lease.number == number + 1002


def test_numbers_go_on_growing_where_the_file_was_lost(stage: Stage) -> None:
    # Given a host that lost its lease's file, but not what it saw as a node
    number = stage.acquire("ann").lease.number
    FenceRecord(stage.shared).admit(Fence(number + 5, "ann"))
    stage.file.unlink()
    # When the next one asks, the clock being set back
    stage.time.wall = 0.0
    # Then its number is above what was seen here
    assert stage.acquire("ben").lease.number == number + 6
    # And on another host, which never kept it, above those given out before, by the time of day
    other = Stage(stage.shared / "elsewhere")
    other.time.wall = NOON + 3600
    assert other.acquire("ben").lease.number > number + 6


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"number": "x"}', '{"number": 1, "key": null}', "\x00" * 100])
def test_a_damaged_file_is_nobodys_leave_to_work_and_is_mended_by_a_break(stage: Stage, garbage: str) -> None:
    # Given a file that says nothing
    number = stage.acquire("ann").lease.number
    stage.file.write_text(garbage)
    # Then nobody gets the lease, and the error says what to do
    with pytest.raises(OpsError, match=r"damaged.*\n.*karafka.unlock"):
        stage.acquire("ben")
    assert not stage.ask(LeaseAction.SHOW, "ben").lease.held
    assert stage.ask(LeaseAction.SHOW, "ben").lease.ended == "its file was damaged"
    # When it is broken, then it works again, by numbers that grow
    assert stage.ask(LeaseAction.BREAK, "ben").ok
    stage.time.passes(1)
    assert stage.acquire("ben").lease.number > number


@contextmanager
def no_room() -> Iterator[None]:
    """Let the kernel refuse to make any file longer, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_gives_nobody_the_lease_and_takes_it_from_nobody(stage: Stage) -> None:
    # Given a lease on a host whose disk gets full
    number = stage.acquire("ann").lease.number

    # When it is to be renewed, broken, and after its time taken by another one
    for action in (LeaseAction.RENEW, LeaseAction.BREAK):
        with pytest.raises(OpsError, match="cannot be written: File too large; nothing was changed"), no_room():
            stage.ask(action, "ann")
    # Then it is as it was
    assert stage.ask(LeaseAction.SHOW, "ben").lease.number == number
    stage.time.passes(60)
    with pytest.raises(OpsError, match="File too large"), no_room():
        stage.acquire("ben")
    assert not stage.ask(LeaseAction.SHOW, "ben").lease.held
    assert sorted(path.name for path in stage.file.parent.iterdir()) == ["lease.json", "lease.lock"]


def test_a_node_notes_the_highest_number_and_refuses_lower_ones(stage: Stage) -> None:
    # Given a node that was asked under two leases
    fence = FenceRecord(stage.shared)
    fence.admit(Fence(7, "ann"))
    fence.admit(Fence(8, "ben"))
    # Then the later one may ask again, also after the file was read anew
    assert FenceRecord(stage.shared).admit(Fence(8, "ben")) == ""
    # And the earlier one is refused, with who took it over
    with pytest.raises(LockHeldError, match=r"your lease \(number 7\) was taken over by ben \(number 8\)"):
        fence.admit(Fence(7, "ann"))
    assert fence.read().number == 8


def test_a_number_that_no_clock_makes_keeps_nobody_off(stage: Stage) -> None:
    # Given a host whose file says what nobody has been given
    record = stage.shared / "tmp/lease-seen.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"number": 10**18, "holder": "nobody"}))
    # When it is asked under a lease, then it works, and knows that one from then on
    assert FenceRecord(stage.shared).admit(Fence(7, "ann")) == ""
    assert FenceRecord(stage.shared).read() == Fence(7, "ann")


def test_a_node_whose_disk_is_full_still_works_and_says_so(stage: Stage) -> None:
    # Given a node that cannot write
    fence = FenceRecord(stage.shared)
    fence.admit(Fence(7, "ann"))

    # When it is asked under the next lease, then it works, and says what it could not do
    with no_room():
        assert "could not be noted: cannot be written: File too large" in fence.admit(Fence(8, "ben"))
    # And an older one is refused as before
    with pytest.raises(LockHeldError):
        fence.admit(Fence(6, "cid"))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["acquire", "renew", "release", "break", "reboot"]), st.sampled_from("abc"), st.floats(0, 90)
    ),
    max_size=30,
)


@settings(max_examples=30, deadline=None)  # each step reaches the disk
@given(STEPS)
def test_whatever_happens_one_has_it_at_a_time_and_numbers_only_grow(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, float]]
) -> None:
    # Given any history of a lease
    stage = Stage(tmp_path_factory.mktemp("lease"))
    owner, until, highest = "", 0.0, 0
    for step, who, seconds in steps:
        stage.time.passes(seconds)
        if stage.time.boot >= until:
            owner = ""
        if step == "reboot":
            stage.time.boot_id += "+"
            owner = ""
            continue
        answer = stage.ask(LeaseAction(step), who)
        # Then it is granted when it was free or the owner's own, and refused otherwise
        expected = {"acquire": owner in ("", who), "renew": owner == who, "break": True}
        if step in expected:
            assert answer.ok == expected[step]
        # And nothing ever takes it from an owner in time but itself and a break
        if step == "acquire" and answer.ok:
            assert answer.lease.number >= highest + (owner == "")
        if answer.ok:
            owner = who if step in ("acquire", "renew") else ""
            until = stage.time.boot + 60
        assert answer.lease.held == bool(owner)
        assert answer.lease.number >= highest
        highest = answer.lease.number
