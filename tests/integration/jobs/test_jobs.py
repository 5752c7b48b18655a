"""Background jobs on a real broker: from the message to the answer, what cannot be done, and what cannot be at all."""

from __future__ import annotations

import json
import signal

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.shared import SharedKafka
from tests.labs.jobs_lab import JobsLab, MakeJobsLab

pytestmark = pytest.mark.kafka


def test_messages_become_jobs_that_run_one_at_a_time_for_each_key(lab: JobsLab) -> None:
    # Given a server that enqueues, and a worker
    lab.worker("server", command=("server",))
    lab.worker("0")
    # When messages on four keys come, some of which fail for good
    lab.send(*({"key": f"k{n % 4}", "n": n, "seconds": 0.02, "answer": n == 7} for n in range(40)))
    lab.send({"key": "k0", "n": 40, "fail": True}, b"no json")
    lab.send(
        b"no json", {"key": "k", "worker": "Nobody", "topic": "none", "id": "x", "at": 1, "params": {}}, topic="jobs"
    )
    # Then every job is done, each key's one after the other
    lab.until_done(40)
    assert Deadline(10).poll(lambda: lab.notes("gave up: RuntimeError")), lab.report()
    begun = {one["n"] for one in lab.notes("begin")}
    assert begun == set(range(41))
    assert lab.assert_no_overlap({}) == {n: 4 if n == 40 else 1 for n in range(41)}
    # And what cannot be done lies in the dead-letter topic with the reason
    reasons = sorted(dict(letter.headers)["karafka-reason"].decode().split(":")[0] for letter in lab.letters(4))
    assert reasons == ["ParseError", "ParseError", "RuntimeError", "UnknownWorkerError"]
    # And everything is committed, and told
    assert Deadline(10).poll(lambda: lab.committed() == 43), lab.report()
    assert Deadline(10).poll(lambda: lab.group().get("processed") == 43)
    assert (lab.group()["dead_lettered"], lab.group()["backlog"]) == (3, 0)


def test_a_drain_finishes_what_runs_and_the_next_worker_repeats_nothing(lab: JobsLab) -> None:
    # Given a worker at many jobs, one of them a long one at the head of the queue
    lab.enqueue(1, 1, wait=str(lab.directory / "gate"))
    lab.enqueue(60, 6, seconds=0.05)
    process = lab.worker()
    assert Deadline(30).poll(lambda: len(lab.notes("end")) >= 20), lab.report()
    # When it is told to stop
    process.send_signal(signal.SIGTERM)
    assert Deadline(10).poll(lambda: lab.group()["state"] == "draining")
    (lab.directory / "gate").touch()
    assert process.wait(20) == 0, lab.log()
    # Then what ran is finished, and the next one begins no job a second time, though much finished out of order
    assert len(lab.notes("begin")) == len(lab.notes("end")) < 61
    lab.worker("1")
    lab.until_done()
    assert set(lab.assert_no_overlap({}).values()) == {1}


def test_a_job_past_its_time_limit_blocks_its_own_key_and_is_told(lab: JobsLab) -> None:
    # Given a job that hangs, and a limit of a second
    lab.enqueue(2, 1, wait=str(lab.directory / "never"))
    process = lab.worker(KARAFKA_MESSAGE_TIMEOUT_SECONDS="1")
    lab.sent = 2
    lab.enqueue(30, 1_000_000, seconds=0.01)
    # Then all other keys go on, and the record says that one is over its limit
    assert Deadline(30).poll(lambda: len(lab.notes("end")) == 30), lab.report()
    assert Deadline(10).poll(lambda: lab.group().get("overdue_seconds", 0) > 1)
    assert len(lab.notes("begin")) == 31
    # And told to stop, it does not leave its partitions to another one while the job still runs: it ends
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 1
    assert "this process ends, lest it run twice" in lab.log()


def test_a_jobs_topic_with_too_few_partitions_is_refused_and_added_ones_change_nothing(
    kafka: SharedKafka, lab_of: MakeJobsLab
) -> None:
    # Given a topic of four partitions, and an app that uses eight
    lab = lab_of(kafka)
    process = lab.worker(TEST_PARTITIONS="8")
    assert process.wait(30) == 2
    assert "has 4 partitions, and the app uses 8" in lab.log()
    # When the app uses four, and four are added while jobs are queued
    lab.enqueue(8, 8, seconds=0.2)
    lab.add_partitions(8)
    lab.worker("server", command=("server",))
    lab.send(*({"key": f"k{n % 8}", "n": n} for n in range(8, 40)))
    lab.worker("1")
    # Then every key stays in its partition, and in order
    lab.until_done(40)
    assert set(lab.assert_no_overlap({}).values()) == {1}


def test_commits_of_another_tool_are_begun_at_their_offset(lab: JobsLab) -> None:
    from kafka import KafkaConsumer, TopicPartition
    from kafka.structs import OffsetAndMetadata

    # Given commits with metadata that is none of ours
    lab.enqueue(20, 20)
    other = KafkaConsumer(bootstrap_servers=lab.bootstrap, group_id=f"{lab.name}.jobs", enable_auto_commit=False)
    offsets = {
        TopicPartition(f"{lab.name}.jobs", n): OffsetAndMetadata(1, json.dumps({"other": 1}), -1) for n in range(4)
    }
    other.assign(list(offsets))
    other.commit(offsets)
    other.close()
    # When a worker begins
    lab.worker()
    # Then it does so at their offsets, and says it
    lab.until_done(16)
    assert Deadline(10).poll(lambda: lab.committed() == 20)
    assert len(lab.notes("begin")) == 16
    assert "another tool's" in lab.log()
