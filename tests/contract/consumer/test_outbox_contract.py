"""One contract for both outboxes: the one on a real cluster and the one that ships for tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ops.consumer.message import Output
from ops.consumer.outbox import Outbox, Receipt
from ops.consumer.settings import ConsumerSettings
from ops.consumer.testing import FakeOutbox

pytestmark = pytest.mark.kafka


@pytest.fixture(params=["fake", "kafka"])
def outbox(request: pytest.FixtureRequest) -> Iterator[tuple[Outbox, str]]:
    if request.param == "fake":
        yield FakeOutbox(["out"]), "out"
        return
    from ops.consumer.client import producer_options
    from ops.consumer.producer import KafkaOutbox

    kafka: Any = request.getfixturevalue("kafka")
    name = kafka.unique("outbox")
    kafka.create_topics({name: 1})
    settings = ConsumerSettings.from_environment({"KARAFKA_BROKERS": kafka.bootstrap})
    real = KafkaOutbox(producer_options(settings, "contract"))
    yield real, name
    real.close(5)


def settled(outbox: Outbox, receipt: Receipt) -> BaseException | None:
    assert outbox.wait(receipt, 30)
    assert receipt.is_done
    return receipt.exception


def test_a_message_that_arrives_has_a_receipt_without_exception(outbox: tuple[Outbox, str]) -> None:
    box, name = outbox
    assert settled(box, box.send(Output(name, b"value", b"key", [("header", b"x")]))) is None
    assert settled(box, box.send(Output(name, None, b"tombstone"))) is None
    assert settled(box, box.send_apart(Output(name, b"apart"))) is None


def test_what_is_too_large_is_refused_for_good_and_nothing_else_with_it(outbox: tuple[Outbox, str]) -> None:
    box, name = outbox
    large = Output(name, b"x" * 3_000_000)
    error = settled(box, box.send(large))
    assert error is not None
    assert not box.transient(error)
    again = settled(box, box.send_apart(large))
    assert again is not None
    assert not box.transient(again)
    # the others still get through
    assert settled(box, box.send(Output(name, b"small"))) is None


def test_a_topic_nobody_knows_may_come_yet(outbox: tuple[Outbox, str]) -> None:
    box, name = outbox
    error = settled(box, box.send(Output(f"{name}-missing", b"x")))
    assert error is not None
    assert box.transient(error)


def test_a_message_without_key_and_value_is_refused_for_good(outbox: tuple[Outbox, str]) -> None:
    box, name = outbox
    error = settled(box, box.send(Output(name, None)))
    assert error is not None
    assert not box.transient(error)
