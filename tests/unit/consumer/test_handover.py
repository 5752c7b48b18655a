"""The claim on a slot: who may be asked, what is taken over, and what a handover was asked for in another version."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ops.consumer.errors import HandoverError
from ops.consumer.handover import Claim
from ops.core import pidfile
from ops.core.deadline import Deadline
from ops.core.handover import HANDOVER
from ops.core.identity import Identity
from ops.core.locks import Byte, SlotLock
from ops.core.notify import Notifier, NotifySocket

OWNER = """
import os, signal, sys, time
from pathlib import Path
from ops.core.locks import Byte, SlotLock
lock = SlotLock(Path(sys.argv[1]))
for name in sys.argv[3:]:
    assert lock.try_take(Byte[name])
def hand_over(*_):
    Path(sys.argv[1] + ".asked").touch()
    if sys.argv[2] == "hands-over":
        lock.release(Byte.OWNER)
if sys.argv[2] != "deaf":
    signal.signal(signal.SIGUSR1, hand_over)
print("here", flush=True)
time.sleep(60)
"""


class Slot:
    """A slot's lock file, and other processes with bytes of it."""

    def __init__(self, root: Path) -> None:
        self.lock = root / "karafka-0.lock"
        self.pidfile = root / "karafka-0.pid"
        self.others: list[subprocess.Popen[str]] = []

    @property
    def asked(self) -> bool:
        return self.lock.with_name("karafka-0.lock.asked").exists()

    def other(self, manner: str, *held: Byte) -> Identity:
        """Start a process that holds bytes: one that `hands-over`, that is `stubborn` or `deaf` to the request."""
        process = subprocess.Popen(
            [sys.executable, "-c", OWNER, str(self.lock), manner, *(byte.name for byte in held)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.others.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        identity = Identity.of(process.pid)
        assert identity is not None
        return identity

    def environ(self, lock: SlotLock, **more: str) -> dict[str, str]:
        """Return the environment that the shim leaves."""
        return {
            "KARAFKA_SLOT_LOCK": str(self.lock),
            "KARAFKA_SLOT_FD": str(lock.keep_over_exec()),
            "KARAFKA_PIDFILE": str(self.pidfile),
            "KARAFKA_RELEASE": "7",
            **more,
        }


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    made = Slot(tmp_path)
    yield made
    for process in made.others:
        process.kill()
        process.communicate()


def wait(seconds: float) -> bool:
    time.sleep(seconds)
    return False


def standby(slot: Slot, lock: SlotLock, drain_seconds: float = 30.0) -> Claim:
    return Claim(lock, standby=True, pid_path=slot.pidfile, release="7", drain_seconds=drain_seconds)


def test_without_a_slot_there_is_nothing_to_claim(slot: Slot, tmp_path: Path) -> None:
    # Given environments that name no descriptor of the lock file
    with (tmp_path / "other").open("w") as other, SlotLock(slot.lock) as lock:
        complete = slot.environ(lock)
        for wrong in ({}, complete | {"KARAFKA_SLOT_FD": "987"}, complete | {"KARAFKA_SLOT_FD": str(other.fileno())}):
            # Then there is no claim
            assert Claim.from_environment(wrong) is None


def test_a_slot_of_the_process_that_wraps_this_one_is_not_claimed(slot: Slot) -> None:
    # Given a slot whose owner is another process, as with `sh -c`, and its inherited descriptor
    slot.other("stubborn", Byte.OWNER, Byte.REPLACING)
    with SlotLock(slot.lock) as lock:
        # Then there is no claim, and a replacement says so instead of working beside the owner
        assert Claim.from_environment(slot.environ(lock)) is None
        with pytest.raises(HandoverError, match="not its own"):
            Claim.from_environment(slot.environ(lock, KARAFKA_STANDBY=str(HANDOVER)))


def test_a_handover_in_another_version_is_refused(slot: Slot) -> None:
    # Given a release of another time than its agent
    with SlotLock(slot.lock) as lock, pytest.raises(HandoverError, match="version 99"):
        Claim.from_environment(slot.environ(lock, KARAFKA_STANDBY="99"))


def test_the_owner_is_asked_and_hands_over(slot: Slot) -> None:
    # Given an owner that hands over when asked, and a replacement that the shim began
    slot.other("hands-over", Byte.OWNER)
    with NotifySocket() as socket, SlotLock(slot.lock) as lock, closing(Notifier(socket.address)) as notifier:
        assert lock.try_take(Byte.REPLACING)
        claim = Claim.from_environment(slot.environ(lock, KARAFKA_STANDBY=str(HANDOVER)))
        assert claim is not None
        assert claim.standby

        # When it takes over
        assert claim.take_over(notifier, wait)

        # Then the slot is its own, its manager heard both steps, and the pidfile names it
        own = Identity.own()
        heard = [socket.receive(own.pid, Deadline(5)) for _ in range(2)]
        assert heard == [{"X_STANDBY": "1"}, {"X_TAKEN": "1"}]
        assert not claim.standby
        claim.own()
        assert pidfile.read(slot.pidfile) == pidfile.PidRecord(own.pid, own, "7")


def test_a_free_slot_is_taken_at_once(slot: Slot) -> None:
    # Given a slot whose owner died while the replacement prepared itself
    with SlotLock(slot.lock) as lock:
        # Then it is taken
        assert standby(slot, lock).take_over(Notifier(), wait)


def test_an_owner_that_does_not_hand_over_is_killed_at_the_deadline(slot: Slot) -> None:
    # Given an owner that was asked in vain
    owner = slot.other("stubborn", Byte.OWNER)
    with SlotLock(slot.lock) as lock:
        # When the time to drain is over
        assert standby(slot, lock, drain_seconds=0.3).take_over(Notifier(), wait)
        # Then it was asked, killed, and the slot is taken
        assert slot.asked
        assert Deadline(5).poll(lambda: not owner.alive())  # the kernel frees its locks before it has gone


def test_an_owner_that_would_die_of_the_request_is_neither_asked_nor_killed(slot: Slot) -> None:
    # Given an owner without a handler for the signal, which would end it
    owner = slot.other("deaf", Byte.OWNER)
    with SlotLock(slot.lock) as lock:
        # Then the replacement gives up, with the exit code that says so, and the owner lives
        with pytest.raises(HandoverError, match="did not hand over within") as caught:
            standby(slot, lock, drain_seconds=0.3).take_over(Notifier(), wait)
        assert caught.value.exit_code == 70
        assert owner.alive()


def test_a_replacement_that_is_told_to_stop_leaves_the_slot_alone(slot: Slot) -> None:
    # Given an owner that takes its time
    owner = slot.other("stubborn", Byte.OWNER)
    with SlotLock(slot.lock) as lock:
        claim = standby(slot, lock)
        # When the replacement is told to stop
        assert not claim.take_over(Notifier(), lambda _: True)
        # Then it is none, and the owner lives
        assert claim.standby
        assert owner.alive()


def test_there_is_one_warm_replacement(slot: Slot) -> None:
    # Given another warm one
    slot.other("stubborn", Byte.WARM)
    with SlotLock(slot.lock) as lock, pytest.raises(HandoverError, match="warm already"):
        standby(slot, lock).take_over(Notifier(), wait)


@pytest.mark.parametrize(("held", "wanted"), [((Byte.REPLACING,), False), ((Byte.REPLACING, Byte.WARM), True)])
def test_an_owner_hands_over_only_to_a_warm_one(slot: Slot, held: tuple[Byte, ...], wanted: bool) -> None:
    # Given an owner, and a replacement that is warm or not
    with SlotLock(slot.lock) as lock:
        claim = Claim(lock, standby=False, pid_path=slot.pidfile)
        slot.other("stubborn", *held)
        # Then the owner sees which
        assert claim.wanted() is wanted


def test_the_alarm_that_limits_the_preparation_is_off_once_it_is_warm(slot: Slot) -> None:
    # Given the alarm that the shim set
    previous: Callable[..., object] | int | None = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        with SlotLock(slot.lock) as lock:
            # When the replacement takes over
            assert standby(slot, lock).take_over(Notifier(), wait)
        # Then nothing will go off
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
