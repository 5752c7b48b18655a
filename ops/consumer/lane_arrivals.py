"""Jobs that are performed and whose messages are on their way: each is finished once they have arrived."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ops.consumer.delivery import Delivery, Sent
from ops.consumer.lanes import Lanes
from ops.consumer.message import Output
from ops.consumer.outbox import Outbox
from ops.consumer.route import Route
from ops.consumer.window import Job


class OnItsWay(NamedTuple):
    """One of them."""

    lanes: Lanes
    job: Job
    part: Sent


class Arrivals:
    """The jobs of one topic whose messages are on their way.

    Most are acknowledged before anybody asks (`arrived`). One thread at a time waits for one, and mends what can be
    (`next`, `wait`).

    Parameters
    ----------
    abandoned : whether an epoch's work is somebody else's by now.
    """

    def __init__(self, route: Route, outbox: Outbox, abandoned: Callable[[int], bool]) -> None:
        self._items: deque[OnItsWay] = deque()
        self._awaited: OnItsWay | None = None
        self._abandoned = abandoned
        self._delivery = Delivery(route, outbox, _no_report, abandoned)

    @property
    def refused(self) -> int:
        """How many jobs became dead letters because their messages were refused."""
        return self._delivery.refused

    @property
    def idle(self) -> bool:
        """Whether there are some, and no thread waits for one."""
        return bool(self._items) and self._awaited is None

    @property
    def awaited(self) -> bool:
        """Whether a thread waits for one."""
        return self._awaited is not None

    def send(self, lanes: Lanes, epoch: int, job: Job, outputs: list[Output]) -> None:
        """Send a job's messages; safe to call from any thread."""
        part = Sent(epoch)
        if not self._abandoned(epoch):
            self._delivery.send(part, (job.message,), outputs)
        self._items.append(OnItsWay(lanes, job, part))

    def arrived(self) -> Iterator[OnItsWay]:
        """Give those whose messages have arrived, as far as none before them is missing."""
        items = self._items
        while items and all(receipt.is_done and receipt.exception is None for *_, receipt in items[0].part.items):
            yield items.popleft()

    def next(self) -> OnItsWay | None:
        """Give the first one for a thread to wait for; None where another thread does, or there is none."""
        if not self.idle:
            return None
        self._awaited = self._items.popleft()
        return self._awaited

    def wait(self, item: OnItsWay) -> None:
        """Wait until its messages have arrived, or are abandoned, sending them anew where that helps."""
        self._delivery.add(item.part)
        self._delivery.settle()

    def waited(self) -> None:
        """Note that nobody waits for one any more."""
        self._awaited = None

    def jobs(self) -> list[Job]:
        """Give all of them."""
        return [item.job for item in (*self._items, self._awaited) if item is not None]


def _no_report(part: Sent) -> None:
    """Tell nobody: whoever waited for it knows."""
    del part
