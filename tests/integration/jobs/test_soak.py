"""Workers that are killed again and again while jobs keep coming."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ops.core.deadline import Deadline
from tests.labs.jobs_lab import JobsLab

pytestmark = [pytest.mark.kafka, pytest.mark.soak, pytest.mark.timeout(400)]

SESSION_SECONDS, HEARTBEAT_SECONDS = 6.0, 0.5
KEYS = 30


@contextmanager
def jobs_coming(lab: JobsLab) -> Iterator[None]:
    """Enqueue 100 jobs a second of 30 resources meanwhile."""
    stop = threading.Event()

    def enqueue() -> None:
        while not stop.wait(0.3):
            lab.enqueue(KEYS, KEYS, seconds=0.05)

    thread = threading.Thread(target=enqueue)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def begins_of(lab: JobsLab, pid: int) -> list[dict[str, Any]]:
    return [one for one in lab.notes("begin") if one["pid"] == pid]


def at_work(lab: JobsLab, pid: int, jobs: int = 5) -> bool:
    return bool(Deadline(30).poll(lambda: len(begins_of(lab, pid)) >= jobs, every=0.02))


def test_one_of_three_workers_killed_ten_times_goes_on_as_soon_as_it_is_back(lab: JobsLab) -> None:
    # Given three workers while jobs keep coming
    workers = {slot: lab.worker(slot, KARAFKA_INSTANCE_ID=slot) for slot in "012"}
    for slot in workers:
        lab.ready(slot)
    killed, late = {}, []
    with jobs_coming(lab):
        # When one of them is killed in the middle of jobs, and started again, ten times
        for _ in range(10):
            victim = workers["1"]
            assert at_work(lab, victim.pid), lab.report()
            victim.kill()
            victim.wait(10)
            killed[victim.pid] = time.monotonic()
            workers["1"] = lab.worker("1", KARAFKA_INSTANCE_ID="1")
            ready = lab.ready("1")
            assert at_work(lab, workers["1"].pid, jobs=1), lab.report()
            late.append(begins_of(lab, workers["1"].pid)[0]["at"] - ready)
    # Then it took up its keys within a second of being ready, each time
    assert max(late) < 1.0, late
    # And every job is done, none beside another of its resource, each resource's in order
    lab.until_done()
    begun = lab.assert_no_overlap(killed)
    # And repeated was what ran, and what had finished since the last commit
    assert all(times <= 1 + len(killed) for times in begun.values())
    assert sum(times - 1 for times in begun.values()) <= 2 * 16 * len(killed)
    assert not [one for one in lab.notes() if one["what"].startswith("gave up")]


def test_the_keys_of_a_worker_that_never_comes_back_go_on_with_the_others_when_its_session_ends(lab: JobsLab) -> None:
    # Given three workers without instance ids while jobs keep coming
    workers = [lab.worker(slot, KARAFKA_SESSION_TIMEOUT_SECONDS=f"{SESSION_SECONDS:g}") for slot in "012"]
    for slot in "012":
        lab.ready(slot)
    assert Deadline(30).poll(lambda: all(any(lab.group(slot).get("assignment", {}).values()) for slot in "012"))
    with jobs_coming(lab):
        assert at_work(lab, workers[1].pid), lab.report()
        keys = {one["key"] for one in begins_of(lab, workers[1].pid)}
        # When one is killed for good
        workers[1].kill()
        workers[1].wait(10)
        at = time.monotonic()

        def gone_on() -> bool:
            later = {one["key"] for one in lab.notes("begin") if one["at"] > at and one["pid"] != workers[1].pid}
            return keys <= later

        # Then all its keys go on within its session, a heartbeat and a second
        assert Deadline(30).poll(gone_on, every=0.05), lab.report()
        took = time.monotonic() - at
    assert took < SESSION_SECONDS + HEARTBEAT_SECONDS + 1.0, took
    lab.until_done()
    lab.assert_no_overlap({workers[1].pid: at})
