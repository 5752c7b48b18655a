"""Workers that are killed, jobs that kill them, brokers that are away: no overlap, nothing lost, little repeated."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.ports import accepts
from tests.labs.brokers import SpareKafka
from tests.labs.jobs_lab import JobsLab, MakeJobsLab

pytestmark = pytest.mark.kafka


def kill(process: subprocess.Popen[bytes]) -> tuple[int, float]:
    """Kill a process; gives its pid, and when it was gone."""
    process.kill()
    process.wait(10)
    return process.pid, time.monotonic()


def test_an_outage_of_all_workers_leaves_no_overlap_and_nothing_lost(lab: JobsLab) -> None:
    # Given two workers at many jobs
    lab.enqueue(100, 20, seconds=0.1)
    workers = [lab.worker(slot, KARAFKA_INSTANCE_ID=slot) for slot in ("0", "1")]
    assert Deadline(30).poll(lambda: len(lab.notes("end")) >= 20), lab.report()
    # When both are killed in the middle, and jobs go on coming
    killed = dict(kill(worker) for worker in workers)
    ended = {one["n"] for one in lab.notes("end")}
    lab.enqueue(100, 20, seconds=0.02)
    began = len(lab.notes("begin"))
    for slot in ("0", "1"):
        lab.worker(slot, KARAFKA_INSTANCE_ID=slot)
    # Then work goes on at once
    ready = min(lab.ready("0"), lab.ready("1"))
    assert Deadline(10).poll(lambda: len(lab.notes("begin")) > began, every=0.01)
    assert lab.notes("begin")[began]["at"] < ready + 1.5
    # And every job is done, none beside another of its key, each key in order
    lab.until_done()
    begun = lab.assert_no_overlap(killed)
    # And repeated was what ran, and what finished since the last commit
    again = [n for n, times in begun.items() if times > 1]
    assert all(times <= 2 for times in begun.values())
    assert len([n for n in again if n in ended]) <= 2 * 16, again


@pytest.mark.soak  # the other two show no overlap after a death, and that no neighbour of one is given up
def test_a_worker_killed_again_and_again_delays_its_own_keys_alone(lab: JobsLab) -> None:
    # Given two workers under load
    lab.enqueue(400, 40, seconds=0.05)
    lab.worker("0", KARAFKA_INSTANCE_ID="0")
    victim = lab.worker("1", KARAFKA_INSTANCE_ID="1")
    lab.ready("0"), lab.ready("1")
    killed = {}
    # When one of them is killed three times, and comes back
    for _ in range(3):
        before = len(lab.notes("begin"))
        assert Deadline(10).poll(lambda least=before: len(lab.notes("begin")) > least + 10)
        pid, at = kill(victim)
        killed[pid] = at
        victim = lab.worker("1", KARAFKA_INSTANCE_ID="1")
        lab.ready("1")
    # Then all is done without overlap, and no neighbour of a death is given up
    lab.until_done()
    lab.assert_no_overlap(killed)
    assert not [one for one in lab.notes() if one["what"].startswith("gave up")]


def test_a_job_that_kills_its_worker_is_given_up_and_its_neighbours_are_not(lab: JobsLab) -> None:
    # Given a job that ends its process, among others
    lab.enqueue(20, 20, seconds=0.05)
    lab.enqueue(1, 1, die=True)
    lab.enqueue(20, 20, seconds=0.05)
    # When the worker is started again after each death
    killed: dict[int, float] = {}
    for _ in range(8):
        process = lab.worker(KARAFKA_INSTANCE_ID="0")
        given_up = Deadline(20).poll(lambda one=process: one.poll() is not None or lab.notes("gave up: PoisonError"))
        assert given_up, lab.report()
        if process.poll() is None:
            break
        killed[process.pid] = time.monotonic()
    # Then it dies a few times by it, and then it is a dead letter, and all others are done
    assert Deadline(20).poll(lambda: len({one["n"] for one in lab.notes("end")}) == 40), lab.report()
    begun = lab.assert_no_overlap(killed)
    (letter,) = lab.letters(1)
    assert dict(letter.headers)["karafka-reason"] == b"PoisonError: 4 processes ended while they performed it"
    assert lab.notes("gave up: PoisonError")
    assert begun[20] == len(killed) <= 6, begun
    assert {one["n"] for one in lab.notes("end")} == set(range(41)) - {20}


def test_a_frozen_worker_is_fenced_and_its_jobs_are_done_by_the_other(lab: JobsLab) -> None:
    # Given two workers without instance ids, one of which freezes for longer than its session
    frozen = lab.worker("0", KARAFKA_SESSION_TIMEOUT_SECONDS="3")
    lab.worker("1", KARAFKA_SESSION_TIMEOUT_SECONDS="3")
    lab.ready("0"), lab.ready("1")
    assert Deadline(20).poll(lambda: all(sum(map(len, lab.group(n)["assignment"].values())) == 2 for n in ("0", "1")))
    lab.enqueue(40, 8, seconds=0.1)
    assert Deadline(20).poll(lambda: frozen.pid in {one["pid"] for one in lab.notes("begin")}, every=0.01), lab.report()
    frozen.send_signal(signal.SIGSTOP)
    lab.enqueue(40, 8, seconds=0.01)
    lab.until_done()
    commits = lab.committed
    assert Deadline(10).poll(lambda: commits() == 80)
    # When it wakes up
    frozen.send_signal(signal.SIGCONT)
    # Then it takes nothing back of what the other one committed, and joins again
    assert Deadline(30).poll(lambda: lab.group("0").get("generation", 0) >= lab.group("1").get("generation", 99))
    lab.enqueue(16, 8)
    lab.until_done()
    assert Deadline(10).poll(lambda: commits() == 96), lab.report()
    begun = [one["n"] for one in lab.notes("begin") if one["n"] >= 80]
    assert sorted(begun) == list(range(80, 96))


def test_a_broker_that_is_away_stops_nothing_for_good(spare_kafka: SpareKafka, lab_of: MakeJobsLab) -> None:
    # Given a worker at many jobs
    lab = lab_of(spare_kafka)
    lab.enqueue(200, 20, seconds=0.02)
    lab.worker(KARAFKA_INSTANCE_ID="0")
    assert Deadline(30).poll(lambda: len(lab.notes("end")) >= 40), lab.report()
    # When the broker goes away in the middle, and comes back
    port = spare_kafka.port
    spare_kafka.kill()
    assert Deadline(10).poll(lambda: not accepts("127.0.0.1", port))
    time.sleep(2.0)
    spare_kafka.start()
    assert spare_kafka.port == port
    # Then every job is done, without overlap, and all of it is committed
    lab.until_done()
    lab.assert_no_overlap({})
    assert Deadline(30).poll(lambda: lab.committed() == 200), lab.report()
