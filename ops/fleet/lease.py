"""The operator's end of the lease: taken before a rollout or deploy, renewed while it lasts, given back at its end.

`with Lease(lease_host(settings, transport), "restart") as lease:` - requests then carry `lease.fence`, and nothing more
is begun once `lease.lost` is set.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Protocol

from ops.core.amounts import in_seconds
from ops.core.deadline import Deadline
from ops.core.errors import LockHeldError, OpsError, UnreachableError
from ops.core.interrupts import handling, interrupt
from ops.core.lease import Fence, LeaseAction, LeaseAnswer, LeaseCall
from ops.core.records import dataclass, replace
from ops.fleet.conversation import NotSetUpError
from ops.fleet.lease_host import LeaseHost, ci_run, held_text, own_name

TTL_SECONDS = 60.0
_RELEASE_SECONDS = 10.0
_POLL_SECONDS = 2.0


class LeaseLostError(LockHeldError):
    """The lease ended or went to somebody else while it was needed."""


def boot_seconds() -> float:
    """Give this machine's boot clock; it goes on while a laptop sleeps, as the lease does."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # macOS: monotonic goes on too
    return time.clock_gettime(clock)


class Held(Protocol):
    """A lease that something is done under, one's own or an inherited one: a context manager."""

    reason: str
    run: str

    def __enter__(self) -> Held: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    @property
    def number(self) -> int: ...

    @property
    def fence(self) -> Fence: ...

    def check(self) -> None: ...


@dataclass(frozen=True)
class _Try:
    """How a renewal went: the keeper's answer, or why there is none; and when it was asked for."""

    asked: float
    answer: LeaseAnswer | None
    trouble: str = ""


class Lease:
    """One lease: a context manager.

    Parameters
    ----------
    reason : what it is for, in words.
    wait_seconds : how long to wait for somebody else's to end.
    ttl_seconds : how long it lasts without a renewal; renewed three times as often. A renewal that fails or takes a
        sixth of that is tried again by another connection, as often as there is time.
    say : is told, in words, whom it waits for, and that renewals fail.
    clock : seconds, also while this machine sleeps.

    Attributes
    ----------
    lost : set for good when it ended or could not be renewed in time: begin nothing more.
    reason, run : what it is held for, in words; the address of the CI run, empty for none.

    Raises
    ------
    LockHeldError : on entering: somebody else has it; says who, why, since when, for how long.
    UnreachableError : on entering: the host that keeps it cannot be asked.
    """

    def __init__(
        self,
        keeper: LeaseHost,
        reason: str,
        *,
        wait_seconds: float = 0.0,
        ttl_seconds: float = TTL_SECONDS,
        say: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = boot_seconds,
    ) -> None:
        self.lost = threading.Event()
        self._keeper = keeper
        self._wait_seconds = wait_seconds
        self._say = say
        self._clock = clock
        self._call = LeaseCall(
            LeaseAction.ACQUIRE,
            key=uuid.uuid4().hex,
            holder=own_name(),
            reason=reason,
            run=ci_run(),
            ttl_seconds=ttl_seconds,
        )
        self.reason, self.run = reason, self._call.run
        self._number = 0
        self._asked = False
        self._expires = 0.0
        self._why = ""
        self._done = threading.Event()
        self._heart = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._tries: queue.SimpleQueue[_Try | None] = queue.SimpleQueue()
        self._stack = ExitStack()

    def __enter__(self) -> Lease:
        with ExitStack() as stack:
            stack.enter_context(_terminations())
            stack.callback(self._give_back)  # also what was granted to an answer that never came
            self._acquire()
            self._heart.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def number(self) -> int:
        """Its number: greater than that of every lease before."""
        return self._number

    @property
    def fence(self) -> Fence:
        """What every request under it carries."""
        return Fence(self._number, self._call.holder)

    def check(self) -> None:
        """Make sure that it still stands, before the next step.

        Raises
        ------
        LeaseLostError : it does not.
        """
        if not self.lost.is_set() and self._clock() >= self._expires:
            self._lose("it could not be renewed in time")
        if self.lost.is_set():
            raise LeaseLostError(
                f"the lease (number {self._number}) is lost: {self._why}",
                where=self._keeper.target.name,
                hint="nothing more was begun; see who works on the stage (fab karafka.status), and start again",
            )

    def _acquire(self) -> None:
        deadline = Deadline(self._wait_seconds)
        told = 0
        while True:
            asked = self._clock()
            self._asked = True
            try:
                answer = self._keeper.ask(self._call)
            except UnreachableError as error:
                self._asked = False  # granted after all, it ends by itself
                raise UnreachableError(
                    error.what,
                    where=error.where,
                    hint=f"{error.hint}\n  nothing was begun: this host keeps the stage's lease, as the first one of "
                    "its inventory; if it is lost, put a living one first",
                ) from error
            except NotSetUpError:
                self._asked = False  # nobody took the question: there is nothing to give back
                raise
            if answer.ok:
                self._number = answer.lease.number
                self._expires = asked + self._call.ttl_seconds
                return
            self._asked = False
            if deadline.expired:
                raise LockHeldError(
                    held_text(answer.lease),
                    where=self._keeper.target.name,
                    hint="wait for it (--lock-wait 900), or when it is left behind: fab karafka.unlock",
                )
            if answer.lease.number != told:
                told = answer.lease.number
                self._say(f"waiting for the lease: {held_text(answer.lease)}")
            time.sleep(min(_POLL_SECONDS, max(answer.lease.expires_seconds, 0.05), deadline.remaining))

    def _beat(self) -> None:
        """Renew it until it is given back or lost."""
        third = self._call.ttl_seconds / 3
        pause, trouble = third, ""
        while not self._done.wait(min(pause, max(self._expires - self._clock(), 0.0))):
            if self._clock() >= self._expires:
                self._lose("it could not be renewed in time")
                return
            # In a thread of its own, as whatever it waits for may never come: it is not waited for then
            args = (bool(trouble), self._clock())
            threading.Thread(target=self._try, args=args, name="renewal", daemon=True).start()
            done = self._outcome()
            if done is None:
                return
            if done.answer is not None and not done.answer.ok:
                self._lose(done.answer.message)
                return
            if done.answer is not None:
                self._expires = max(self._expires, done.asked + self._call.ttl_seconds)
                pause, trouble = third, ""
                continue
            if not trouble:
                trouble = done.trouble or "it failed"
                self._say(f"the lease could not be renewed, trying again: {trouble}")
            pause = third / 10

    def _try(self, apart: bool, asked: float) -> None:
        """Try to renew it, and leave word of how that went.

        Parameters
        ----------
        apart : by a connection of its own.
        """
        try:
            keeper = self._keeper.apart() if apart else self._keeper
            answer = keeper.ask(replace(self._call, action=LeaseAction.RENEW), self._call.ttl_seconds / 3)
        except (OpsError, OSError) as error:
            self._tries.put(_Try(asked, None, str(error)))
        else:
            self._tries.put(_Try(asked, answer))

    def _outcome(self) -> _Try | None:
        """Give how a try went, of those that are under way; None once it is given back."""
        patience = self._call.ttl_seconds / 6
        try:
            return self._tries.get(timeout=patience)
        except queue.Empty:
            where = self._keeper.target.name
            return _Try(0.0, None, f"{where}: no answer within {in_seconds(patience)}")

    def _lose(self, why: str) -> None:
        self._why = self._why or why
        self.lost.set()

    def _give_back(self) -> None:
        self._done.set()
        self._tries.put(None)
        if self._heart.ident is not None:
            self._heart.join(_RELEASE_SECONDS)
        if self.lost.is_set() or not self._asked:
            return
        try:
            self._keeper.ask(replace(self._call, action=LeaseAction.RELEASE), _RELEASE_SECONDS)
        except OpsError as error:
            self._say(f"the lease could not be given back and ends in {in_seconds(self._call.ttl_seconds)}: {error}")


def _terminations() -> AbstractContextManager[None]:
    """Let TERM and HUP end the command as Ctrl-C does, so that the lease is given back on the way out."""
    fresh = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) is signal.SIG_DFL]
    return handling(interrupt, fresh)
