"""Messages through route, controller and responder on a real broker, and what happens to those that cannot."""

from __future__ import annotations

import json
import signal

import pytest

from ops.consumer.client import POLL_RECORDS
from ops.consumer.topic_thread import MESSAGES
from ops.core.deadline import Deadline
from ops.sandbox.shared import SharedKafka
from tests.labs.consumer_bench import MakeBench

pytestmark = pytest.mark.kafka


def test_every_message_is_answered_once_and_then_committed(kafka: SharedKafka, bench_of: MakeBench) -> None:
    # Given 500 messages
    bench = bench_of(kafka)
    bench.numbers(500)
    # When a consumer works through them
    process = bench.start()
    # Then each is answered once, and the offsets are committed
    assert bench.sequences(500) == list(range(500)), bench.log()
    assert Deadline(10).poll(lambda: bench.committed() == 500)
    assert Deadline(10).poll(lambda: bench.group()["processed"] == 500)
    # And it ends cleanly
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert bench.status()["state"] == "stopped"


def test_bad_messages_are_dead_lettered_with_the_reason_and_the_others_go_on(
    kafka: SharedKafka, bench_of: MakeBench
) -> None:
    # Given good messages with bad ones between them
    bench = bench_of(kafka, partitions=1)
    bad = [b"no json", {"fail": True}, {"sequence": 1, "twice": True}, b"\xff", {"no": "sequence"}]
    bench.send([{"sequence": 0}, *bad, {"sequence": 7}])
    # When
    bench.start()
    # Then the good ones are answered
    assert bench.sequences(2) == [0, 7], bench.log()
    # And the bad ones lie in the dead-letter topic, as they came, with where they were and why
    letters = sorted(bench.read(bench.dead, 5), key=lambda letter: dict(letter.headers)["karafka-offset"])
    reasons = [dict(letter.headers)["karafka-reason"].decode() for letter in letters]
    expected = ["ParseError", "RuntimeError: asked to fail", "TopicUsedTwiceError", "ParseError", "KeyError"]
    assert [reason[: len(start)] for reason, start in zip(reasons, expected, strict=True)] == expected
    assert [letter.value for letter in letters] == [
        item if isinstance(item, bytes) else json.dumps(item).encode() for item in bad
    ]
    attempts = [dict(letter.headers)["karafka-attempts"] for letter in letters]
    assert attempts == [b"1", b"4", b"1", b"1", b"4"]
    assert dict(letters[0].headers)["karafka-topic"].decode() == bench.source
    # And nothing blocks: everything is committed, and the record counts them
    assert Deadline(10).poll(lambda: bench.committed() == 7)
    assert Deadline(10).poll(lambda: bench.group().get("dead_lettered") == 5)


def test_a_message_too_large_for_the_cluster_is_dead_lettered_and_the_rest_goes_on(
    kafka: SharedKafka, bench_of: MakeBench
) -> None:
    # Given messages whose answers are 5 MB (the broker's limit is 1 MB) and 50 MB (more than is sent at all)
    bench = bench_of(kafka, partitions=1)
    bench.send([{"blob": 5_000_000}, {"sequence": 1}, {"blob": 50_000_000}, {"sequence": 3}])
    # When
    bench.start()
    # Then
    assert Deadline(30).poll(lambda: bench.committed() == 4), bench.log()
    assert set(bench.sequences(3, timeout_seconds=3)) == {1, 3}  # at least once: see ops.consumer.producer
    letters = bench.read(bench.dead, 2)
    assert {letter.value for letter in letters} == {b'{"blob": 5000000}', b'{"blob": 50000000}'}
    for letter in letters:
        reason = dict(letter.headers)["karafka-reason"].decode()
        assert reason.startswith("DeliveryError")
        assert bench.target in reason


def test_a_message_of_5_mb_gets_through_where_topics_allow_it_and_its_dead_letter_goes_without_its_value(
    kafka: SharedKafka, bench_of: MakeBench
) -> None:
    # Given topics for messages of 8 MB, a message of 5 MB, one that fails, and a dead-letter topic for 1 MB
    bench = bench_of(kafka, partitions=1, config={"max.message.bytes": "8000000"})
    kafka.create_topics({bench.dead: 1})
    text = "x" * 5_000_000
    bench.send([{"echo": True, "sequence": 0, "text": text}, {"fail": True, "text": text}, {"sequence": 1}])
    # When
    bench.start()
    # Then the first one's answer is as large
    assert len(bench.read(bench.target, 1)[0].value) > 5_000_000, bench.log()
    # And the letter tells where the other one is
    (letter,) = bench.read(bench.dead, 1)
    headers = dict(letter.headers)
    assert letter.value == b""
    assert headers["karafka-omitted"].startswith(b"value of 50000")
    assert (headers["karafka-topic"].decode(), headers["karafka-offset"]) == (bench.source, b"1")
    # And all others arrive, at least once: what was on its way at the refusal is sent anew
    assert Deadline(10).poll(lambda: bench.committed() == 3)
    assert set(bench.sequences(3, timeout_seconds=3)) == {0, 1}


def test_a_slow_topic_does_not_hold_up_another_one(kafka: SharedKafka, bench_of: MakeBench) -> None:
    # Given a topic whose first message is held, and more behind it than is read ahead
    bench = bench_of(kafka, partitions=1)
    fast = f"{bench.name}-fast"
    kafka.create_topics({fast: 1})
    gate = bench.directory / "gate"
    bench.send([{"sequence": -1, "hold": str(gate)}, *({"sequence": -2} for _ in range(MESSAGES + POLL_RECORDS))])
    bench.start(TEST_SECOND=fast)
    assert Deadline(30).poll((bench.directory / "gate.in").exists), bench.log()
    # When messages for the other topic come
    bench.send([{"sequence": number} for number in range(400)], topic=fast)
    # Then they are answered meanwhile
    assert bench.sequences(400) == list(range(400)), bench.log()
    # And the slow one goes on where it was
    gate.touch()
    slow = 1 + MESSAGES + POLL_RECORDS
    assert len(bench.read(bench.target, slow + 400)) == slow + 400
    assert Deadline(10).poll(lambda: bench.committed() == slow)


def test_a_group_that_begins_at_the_end_misses_nothing_after_its_start(kafka: SharedKafka, bench_of: MakeBench) -> None:
    # Given old messages and a consumer that begins at the end
    bench = bench_of(kafka)
    bench.numbers(50)
    process = bench.start(TEST_FROM="end", KARAFKA_SESSION_TIMEOUT_SECONDS="3")
    bench.ready()
    assert Deadline(10).poll(lambda: bench.committed() == 50), "its beginning is committed at once"
    # When it is killed before the first new message, and started again after it
    process.kill()
    process.wait(10)
    bench.numbers(20, first=100)
    bench.start("1", TEST_FROM="end")
    # Then the new messages are all answered, the old ones are not
    assert bench.sequences(20) == list(range(100, 120)), bench.log("1")
