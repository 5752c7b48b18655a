"""Threads for the hosts of one batch: as many at work as the pool has places; and what asks it to end, as news."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from ops.core.amounts import in_seconds
from ops.core.errors import OpsError, UnreachableError
from ops.core.interrupts import handling
from ops.core.records import dataclass

_MOST_WAITING = 256  # messages that nobody has taken yet
_LOOK_SECONDS = 1.0

Result = TypeVar("Result")
Message = TypeVar("Message")


@dataclass(frozen=True)
class Job(Generic[Message, Result]):
    """The work on one host.

    Attributes
    ----------
    work : is given what to call with each message; what it raises is its result.
    deadline_seconds : how long it may take at most.
    """

    host: str
    work: Callable[[Callable[[Message], None]], Result]
    deadline_seconds: float


@dataclass(frozen=True)
class Happened(Generic[Message]):
    """A message from the work on a host."""

    host: str
    message: Message


@dataclass(frozen=True)
class Done(Generic[Result]):
    """The work on a host has ended, one way or the other."""

    host: str
    result: Result | None
    error: OpsError | None


@dataclass(frozen=True)
class Interrupted:
    """Ctrl-C, TERM or HUP: nothing more is begun; these hosts are at work."""

    hosts: tuple[str, ...]


class Crew(Generic[Message, Result]):
    """Works on hosts side by side.

    Parameters
    ----------
    pool : hosts worked on at the same time.
    margin_seconds : beyond a host's deadline, for connecting, which has deadlines of its own.
    """

    def __init__(self, pool: int, margin_seconds: float = 300.0) -> None:
        self._pool = pool
        self._margin_seconds = margin_seconds
        self._news: queue.SimpleQueue[Happened[Message] | Done[Result] | None] = queue.SimpleQueue()
        self._left = False
        self._room = threading.BoundedSemaphore(_MOST_WAITING)

    def interrupts(self) -> AbstractContextManager[None]:
        """Take Ctrl-C, TERM and HUP as news from here on, those excepted that are ignored."""
        return handling(lambda *_: self._news.put(None))

    def run(self, jobs: Sequence[Job[Message, Result]]) -> Iterator[Happened[Message] | Done[Result] | Interrupted]:
        """Do the jobs; gives all news until the last one is done, or `leave` was called."""
        waiting = list(reversed(jobs))
        working: dict[str, Job[Message, Result]] = {}
        while waiting or working:
            while waiting and len(working) < self._pool:
                job = waiting.pop()
                working[job.host] = job
                # A thread of its own: one that hangs for good must not keep the command from ending.
                threading.Thread(target=self._work, args=(job,), daemon=True, name=job.host).start()
            limit = max(one.deadline_seconds for one in working.values()) + self._margin_seconds
            try:
                news = self._news.get(timeout=limit)
            except queue.Empty:
                for host in working:
                    yield Done(host, None, UnreachableError(f"nothing heard for {in_seconds(limit)}", where=host))
                return
            if news is None:
                waiting.clear()
                yield Interrupted(tuple(working))
            else:
                if isinstance(news, Done):
                    del working[news.host]
                else:
                    self._room.release()
                yield news
            if self._left:
                return

    def leave(self) -> None:
        """Wait for nobody any more."""
        self._left = True

    def _work(self, job: Job[Message, Result]) -> None:
        result, failure = None, None
        try:
            result = job.work(lambda message: self._tell(Happened(job.host, message)))
        except OpsError as error:
            failure = error
        except Exception as error:  # noqa: BLE001  a fault of ours on one host must not hide the others
            failure = OpsError(
                f"{type(error).__name__}: {error}", where=job.host, hint="this is a fault of karafka-ops: report it"
            )
        self._news.put(Done(job.host, result, failure))

    def _tell(self, news: Happened[Message]) -> None:
        """Put a message where it is taken from; waits where hosts tell more than is taken: memory has an end."""
        while not self._room.acquire(timeout=_LOOK_SECONDS):
            if self._left:
                return
        self._news.put(news)
