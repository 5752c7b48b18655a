"""Threads for the hosts of a batch."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError
from ops.fleet.crew import Crew, Done, Happened, Job


def test_work_that_ignores_its_deadline_is_given_up() -> None:
    # Given work that never ends, and some that does
    for_ever = threading.Event()

    def hang(_: Callable[[str], None]) -> int:
        for_ever.wait(60)
        return 0

    crew: Crew[str, int] = Crew(2, margin_seconds=0.2)
    waited = Deadline(10)
    # When both are done side by side
    jobs = [Job("host1", hang, 0.1), Job("host2", lambda _: 2, 0.1)]
    news = {one.host: one for one in crew.run(jobs) if isinstance(one, Done)}
    for_ever.set()
    # Then the one that ended counts, and the other one has no result but a reason
    assert not waited.expired
    assert news["host2"].result == 2
    assert isinstance(news["host1"].error, UnreachableError)


def test_a_host_that_tells_more_than_is_taken_waits() -> None:
    # Given work that tells a hundred thousand things as fast as it can
    told = 0

    def tell(emit: Callable[[int], None]) -> int:
        nonlocal told
        for number in range(100_000):
            emit(number)
            told = number
        return told

    crew: Crew[int, int] = Crew(1)
    news = crew.run([Job("host1", tell, 20.0)])
    # When nobody takes more than the first
    assert next(news) == Happened("host1", 0)
    assert not Deadline(0.3).poll(lambda: told > 1000)
    # Then it waits, and goes on once the rest is taken, in order
    assert [one.message for one in news if isinstance(one, Happened)] == [*range(1, 100_000)]
