"""The embedded broker is a real one, and may be stopped, started, frozen and killed."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

import psutil
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError, MessageSizeTooLargeError

from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.sandbox.jars import kafka_jars
from ops.sandbox.ports import accepts
from ops.sandbox.prepared import Prepared, prepared
from ops.sandbox.shared import SharedKafka
from tests.labs.brokers import MakeKafka, SpareKafka

pytestmark = pytest.mark.kafka


def _produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    try:
        for value in values:
            producer.send(topic, value)
        producer.flush(timeout=30)
    finally:
        producer.close()


def _consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    consumer = KafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    found: list[bytes] = []
    deadline = Deadline(30)
    try:
        while len(found) < count and not deadline.expired:
            found += [one.value for records in consumer.poll(500).values() for one in records]
    finally:
        consumer.close()
    return found


def test_the_shared_broker_carries_messages_and_makes_topics_once(kafka: SharedKafka) -> None:
    # Given a topic that is asked for twice
    topic = kafka.unique("carried")
    kafka.create_topics({topic: 3})
    kafka.create_topics({topic: 3})

    # When messages are produced
    _produce(kafka.bootstrap, topic, [b"one", b"two"])

    # Then they come out again, and the topic has its three partitions
    assert sorted(_consume(kafka.bootstrap, topic, 2)) == [b"one", b"two"]
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    assert len(admin.describe_topics([topic])[0]["partitions"]) == 3
    admin.close()


def test_a_topic_may_be_made_for_bigger_messages_than_others_take(kafka: SharedKafka) -> None:
    big, usual = kafka.unique("big"), kafka.unique("usual")
    kafka.create_topics({big: 1}, {"max.message.bytes": "6000000"})
    kafka.create_topics({usual: 1})
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, max_request_size=6_000_000)
    try:
        assert producer.send(big, bytes(5_000_000)).get(timeout=20).offset == 0
        with pytest.raises(MessageSizeTooLargeError):
            producer.send(usual, bytes(5_000_000)).get(timeout=20)
    finally:
        producer.close()


def test_an_impossible_topic_is_told(kafka: SharedKafka) -> None:
    with pytest.raises(OpsError, match="no/name"):
        kafka.create_topics({"no/name": 1})


def test_a_paused_broker_answers_nobody_until_it_goes_on(spare_kafka: SpareKafka) -> None:
    # Given a broker that is paused under a producer's hands
    topic = spare_kafka.unique("slow")
    spare_kafka.create_topics({topic: 1})
    producer = KafkaProducer(bootstrap_servers=spare_kafka.bootstrap, acks="all")
    producer.send(topic, b"before").get(timeout=30)
    spare_kafka.pause()
    try:
        # When it goes on producing
        sent: list[object] = []
        thread = threading.Thread(target=lambda: sent.append(producer.send(topic, b"x").get(timeout=30)))
        thread.start()
        thread.join(1.5)

        # Then nothing is acknowledged before it goes on
        assert sent == []
        spare_kafka.resume()
        thread.join(30)
        assert len(sent) == 1
    finally:
        spare_kafka.resume()
        producer.close()


def test_two_unique_names_differ(kafka: SharedKafka) -> None:
    assert kafka.unique("group") != kafka.unique("group")


def test_a_missing_topic_is_not_made_in_passing(kafka: SharedKafka) -> None:
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, max_block_ms=1500)
    try:
        with pytest.raises(KafkaError):
            producer.send(kafka.unique("missing"), b"x").get(timeout=10)
    finally:
        producer.close()


@pytest.mark.soak  # one that was killed does so beside jobs in the fast suite
def test_a_stopped_broker_comes_back_with_port_and_data(spare_kafka: SpareKafka) -> None:
    # Given a broker with a message
    topic = spare_kafka.unique("kept")
    spare_kafka.create_topics({topic: 1})
    _produce(spare_kafka.bootstrap, topic, [b"still here"])
    port = spare_kafka.port

    # When it is stopped
    spare_kafka.stop()

    # Then nobody listens there
    assert not accepts("127.0.0.1", port)

    # When it is started again
    spare_kafka.start()

    # Then it is the same one
    assert spare_kafka.port == port
    assert _consume(spare_kafka.bootstrap, topic, 1) == [b"still here"]


def test_two_brokers_run_side_by_side_and_listen_on_loopback_alone(spare_kafka: SpareKafka, kafka: SharedKafka) -> None:
    listening = psutil.Process(spare_kafka.running.identity.pid).net_connections(kind="inet")
    addresses = {one.laddr.ip.removeprefix("::ffff:") for one in listening if one.status == psutil.CONN_LISTEN}
    assert addresses == {"127.0.0.1"}
    assert spare_kafka.bootstrap != kafka.bootstrap

    # They are clusters of their own, and run on one archive of classes
    clusters = set()
    for bootstrap in (spare_kafka.bootstrap, kafka.bootstrap):
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        clusters.add(admin.describe_cluster()["cluster_id"])
        admin.close()
    assert len(clusters) == 2
    archive = prepared(kafka_jars(), spare_kafka.directory).flags[0].partition("=")[2]
    assert archive in {one.path for one in psutil.Process(spare_kafka.running.identity.pid).memory_maps()}


def test_an_archive_that_java_breaks_on_costs_no_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_kafka: MakeKafka
) -> None:
    # Given an archive of classes that was cut short
    whole = prepared(kafka_jars(), tmp_path)
    shutil.copytree(whole.folder, tmp_path / "cut")
    cut = Prepared(tmp_path / "cut")
    archive = Path(cut.flags[0].partition("=")[2])
    archive.chmod(0o600)
    os.truncate(archive, archive.stat().st_size // 2)
    monkeypatch.setattr("ops.sandbox.kafka.prepared", lambda _jars, _broker: cut)

    # When a broker is started with it
    broker = own_kafka()

    # Then it comes up without it
    broker.create_topics({"whole": 1})
    assert str(archive) not in {one.path for one in psutil.Process(broker.running.identity.pid).memory_maps()}
