"""The static member before a process: removed from its group, and what happens where it cannot be."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.shared import SharedKafka
from tests.labs.brokers import SpareKafka

pytestmark = pytest.mark.kafka


@pytest.fixture
def consumer_of() -> Iterator[Callable[..., Any]]:
    """Makes consumers, as the server's connections are."""
    from kafka import KafkaConsumer

    from ops.consumer.client import consumer_options
    from ops.consumer.settings import ConsumerSettings

    with ExitStack() as stack:

        def make(bootstrap: str, group: str, instance: str) -> Any:
            settings = ConsumerSettings.from_environment(
                {"KARAFKA_BROKERS": bootstrap, "KARAFKA_INSTANCE_ID": instance}
            )
            consumer = KafkaConsumer(**consumer_options(settings, "test", group, from_beginning=True))
            stack.callback(consumer.close, autocommit=False, timeout_ms=500)
            return consumer

        yield make


def members(bootstrap: str, group: str) -> set[str | None]:
    """Return the instance ids of a group's members, by the brokers' word."""
    from ops.core.brokers import Brokers
    from ops.kafka.connection import Cluster
    from ops.kafka.groups import observe

    with Cluster(Brokers.at(bootstrap)) as cluster:
        (seen,) = observe(cluster, [group])
        return {member.instance_id for member in seen.members}


def test_the_member_before_leaves_at_once_and_one_that_is_none_is_as_good(
    kafka: SharedKafka, consumer_of: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    from ops.consumer.predecessor import remove_predecessor

    # Given a static member that was closed, as for a handover, and is kept for the session timeout
    topic = kafka.unique("predecessor")
    kafka.create_topics({topic: 2})
    old = consumer_of(kafka.bootstrap, topic, "a")
    old.subscribe([topic])
    assert Deadline(30).poll(lambda: old.poll(2000) or len(old.assignment()) == 2)
    old.close(autocommit=False)
    assert members(kafka.bootstrap, topic) == {"a"}

    # When the next one removes it, its connection knowing no coordinator yet
    caplog.set_level(logging.INFO, "ops.consumer.predecessor")
    new = consumer_of(kafka.bootstrap, topic, "a")
    remove_predecessor(new, topic, "a")
    # Then the group has it no more
    assert members(kafka.bootstrap, topic) == set()
    # And that there is none now, or no such group, is no error
    remove_predecessor(new, topic, "a")
    assert [record.levelname for record in caplog.records if record.name == "ops.consumer.predecessor"] == [
        "INFO",
        "INFO",
    ]
    assert "a was removed" in caplog.text
    assert "a was no member" in caplog.text


def test_a_broker_that_does_not_answer_is_an_error_in_the_log_and_keeps_nobody_from_joining(
    spare_kafka: SpareKafka, consumer_of: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    from ops.consumer.predecessor import remove_predecessor

    # Given a connection that knows its coordinator, which then freezes
    group = spare_kafka.unique("group")
    consumer = consumer_of(spare_kafka.bootstrap, group, "a")
    assert consumer._coordinator.ensure_coordinator_ready(timeout_ms=20_000)
    spare_kafka.pause()
    try:
        # When the member before is to be removed
        began = time.monotonic()
        remove_predecessor(consumer, group, "a")
        took = time.monotonic() - began
    finally:
        spare_kafka.resume()
    # Then it is given up after a few seconds, and said
    assert took < 10
    (said,) = [record for record in caplog.records if record.name == "ops.consumer.predecessor"]
    assert said.levelname == "ERROR"
    assert f"group {group}: a could not be removed" in said.getMessage()
