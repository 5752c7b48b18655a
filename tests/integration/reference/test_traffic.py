"""Numbered traffic on a real broker, and the count of what came of it."""

from __future__ import annotations

import json
import time
from threading import Event, Timer

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from ops.core.brokers import Brokers
from ops.core.errors import UnreachableError, UsageError
from ops.reference import tally, traffic
from ops.reference.tally import count
from ops.reference.traffic import Traffic
from ops.sandbox.ports import free_port
from ops.sandbox.shared import SharedKafka

pytestmark = pytest.mark.kafka


def _answer(kafka: SharedKafka, topic: str, stream: str, numbers: list[int]) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, metrics_enabled=False)
    try:
        for number in numbers:
            producer.send(topic, json.dumps({"stream": stream, "sequence": number}).encode())
        producer.flush(timeout=30)
    finally:
        producer.close()


@pytest.fixture
def topics(kafka: SharedKafka) -> tuple[str, str]:
    asked, answered = kafka.unique("asked"), kafka.unique("answered")
    kafka.create_topics({asked: 3, answered: 2})
    return asked, answered


def test_traffic_keeps_its_rate_and_every_message_is_there(kafka: SharedKafka, topics: tuple[str, str]) -> None:
    # When 200 messages a second are sent for a second and a half
    brokers = Brokers.at(kafka.bootstrap)
    sent = Traffic(brokers, topics[0]).run(200, 1.5)

    # Then there are 300, in about that time
    assert (sent.count, sent.failed) == (300, 0)
    assert 1.4 < sent.seconds < 6

    # And a topic that repeats them all is exact
    result = count(brokers, topics[0], [topics[0]])
    assert (result.sent, result.received, result.lost, result.repeated, result.exact) == (300, 300, (), (), True)
    assert set(result.longest_gap_seconds) == {0, 1, 2}


def test_each_partition_gets_its_share_where_messages_take_turns_among_them(
    kafka: SharedKafka, topics: tuple[str, str]
) -> None:
    # When 30 messages take turns among the three partitions of a topic
    sent = Traffic(Brokers.at(kafka.bootstrap), topics[0], partitions=3).run(1000, 0.03)

    # Then each of them has ten
    assert sent.count == 30
    consumer = KafkaConsumer(bootstrap_servers=kafka.bootstrap, metrics_enabled=False)
    try:
        ends = consumer.end_offsets([TopicPartition(topics[0], number) for number in range(3)])
    finally:
        consumer.close()
    assert set(ends.values()) == {10}


def test_traffic_ends_early_when_it_is_told_to(kafka: SharedKafka, topics: tuple[str, str]) -> None:
    # Given traffic for a minute
    stop = Event()
    timer = Timer(0.5, stop.set)
    timer.start()

    # When it is told to stop after half a second, then it stops with what it has
    sent = Traffic(Brokers.at(kafka.bootstrap), topics[0]).run(100, 60, stop)
    timer.join()
    assert 0 < sent.count < 3000
    assert sent.seconds < 30


def test_lost_and_repeated_messages_are_counted_one_by_one(kafka: SharedKafka, topics: tuple[str, str]) -> None:
    # Given ten messages, of which 3 was never answered, 5 twice and 7 three times; and somebody else's
    brokers = Brokers.at(kafka.bootstrap)
    sent = Traffic(brokers, topics[0]).run(1000, 0.01)
    assert sent.count == 10
    _answer(kafka, topics[1], sent.stream, [0, 1, 2, 4, 5, 5, 6, 7, 7, 7, 8, 9])
    _answer(kafka, topics[1], "somebody-else", [0, 0, 3])

    # When they are counted
    result = count(brokers, topics[0], [topics[1]], timeout_seconds=0.5)

    # Then exactly those are named
    assert (result.sent, result.received) == (10, 12)
    assert result.lost == ((sent.stream, 3),)
    assert result.repeated == ((sent.stream, 5), (sent.stream, 7), (sent.stream, 7))
    assert not result.exact


def test_one_run_can_be_counted_alone(kafka: SharedKafka, topics: tuple[str, str]) -> None:
    # Given two runs, of which one was answered
    brokers = Brokers.at(kafka.bootstrap)
    answered, ignored = (Traffic(brokers, topics[0]).run(1000, 0.01) for _ in range(2))
    _answer(kafka, topics[1], answered.stream, list(range(10)))

    # When each is counted alone, then they differ
    assert count(brokers, topics[0], [topics[1]], streams=[answered.stream]).exact
    assert len(count(brokers, topics[0], [topics[1]], streams=[ignored.stream], timeout_seconds=0.3).lost) == 10


def test_answers_that_are_still_to_come_are_waited_for(kafka: SharedKafka, topics: tuple[str, str]) -> None:
    # Given answers that come while they are counted
    brokers = Brokers.at(kafka.bootstrap)
    sent = Traffic(brokers, topics[0]).run(1000, 0.01)
    late = Timer(1.0, _answer, (kafka, topics[1], sent.stream, list(range(10))))
    late.start()

    # When they are counted, then none is called lost
    assert count(brokers, topics[0], [topics[1]]).exact
    late.join()


def test_an_empty_topic_is_never_exact(kafka: SharedKafka, topics: tuple[str, str]) -> None:
    assert not count(Brokers.at(kafka.bootstrap), topics[0], [topics[1]]).exact


def test_a_missing_topic_and_a_missing_broker_are_clear_errors_in_bounded_time(
    kafka: SharedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a topic that does not exist
    brokers = Brokers.at(kafka.bootstrap)
    missing = kafka.unique("missing")

    # Then neither producing nor counting begins
    with pytest.raises(UsageError, match=f"no topic '{missing}'"):
        Traffic(brokers, missing).run(1, 1)
    with pytest.raises(UsageError, match=f"no topic '{missing}'"):
        count(brokers, missing, [missing])

    # Given a broker that does not listen, and less patience
    monkeypatch.setattr(traffic, "CONNECT_SECONDS", 1.0)
    monkeypatch.setattr(tally, "CONNECT_SECONDS", 1.0)
    nobody = Brokers.at(f"127.0.0.1:{free_port()}")
    began = time.monotonic()

    # Then both say so
    with pytest.raises(UnreachableError, match="no broker answered within"):
        Traffic(nobody, missing).run(1, 1)
    with pytest.raises(UnreachableError, match="no broker answered within"):
        count(nobody, missing, [missing])
    assert time.monotonic() - began < 15
