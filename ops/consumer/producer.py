"""The outbox on a real cluster.

One refused message (too large for its topic, say) leaves the idempotent producer of kafka-python 3.0.12 in a fatal
state, and everything else on its way fails with the very same error. So what fails is sent again *apart*, by a producer
whose failures stay with their message, and the idempotent one is replaced. A message that was on its way at that
moment may have arrived all the same, and is then there twice: at least once is the promise.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection
from contextlib import suppress
from typing import Any

from kafka import KafkaProducer
from kafka.errors import (
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    OutOfOrderSequenceNumberError,
    RetriableError,
    UnknownProducerIdError,
)
from kafka.protocol.metadata import MetadataRequest

from ops.consumer.client import learn_topics
from ops.consumer.message import Output
from ops.consumer.outbox import Receipt, Refusal
from ops.core.amounts import in_seconds

log = logging.getLogger(__name__)

_REFUSALS = (KafkaError, ValueError)
_TRANSIENT = (RetriableError, OutOfOrderSequenceNumberError, UnknownProducerIdError, InvalidProducerEpochError)
_APART = {"enable_idempotence": False, "max_in_flight_requests_per_connection": 1, "batch_size": 0}


class KafkaOutbox:
    """The outbox on a KafkaProducer; one for all threads of the process.

    Parameters
    ----------
    options : of the producer; see `client.producer_options`.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options
        self._producer = KafkaProducer(**options)
        self._apart: KafkaProducer | None = None
        self._lock = threading.Lock()

    def send(self, output: Output) -> Receipt:
        """Send one message, not waiting for it."""
        return _send(self._producer, output)

    def send_apart(self, output: Output) -> Receipt:
        """Send one message again, so that its failure is its own."""
        try:
            with self._lock:
                self._replace_if_broken()
                if self._apart is None:
                    self._apart = KafkaProducer(**self._options | _APART)
        except KafkaError as error:
            return Refusal(error)
        return _send(self._apart, output)

    def wait(self, receipt: Receipt, timeout_seconds: float) -> bool:
        """Wait for one receipt; False when the time is over first."""
        if not receipt.is_done:
            try:
                receipt.get(timeout_seconds)  # type: ignore[attr-defined]
            except _REFUSALS:
                return receipt.is_done
        return True

    def transient(self, error: BaseException) -> bool:
        """Whether the same message may get through later."""
        return isinstance(error, _TRANSIENT)

    def existing(self, topics: Collection[str], timeout_seconds: float) -> dict[str, int]:
        """Give those of some topics that exist, and how many partitions each has; the brokers are asked anew.

        Raises
        ------
        KafkaError : no answer.
        """
        answered = threading.Event()
        question = MetadataRequest(
            topics=[MetadataRequest.MetadataRequestTopic(name=topic) for topic in topics],
            allow_auto_topic_creation=False,
            include_cluster_authorized_operations=False,
            include_topic_authorized_operations=False,
        )
        manager = self._producer._metadata._manager
        answer = manager.call_soon(manager.send, question)  # its loop runs in the producer's own thread
        answer.add_both(lambda _: answered.set())
        if not answered.wait(timeout_seconds):
            raise KafkaTimeoutError(f"no answer within {in_seconds(timeout_seconds)}")
        if answer.exception is not None:
            raise answer.exception
        return {topic.name: len(topic.partitions) for topic in answer.value.topics if topic.error_code == 0}

    def learn(self, topics: Collection[str]) -> None:
        """Learn topics' partitions, before the first message has to wait for them; a missing topic is passed over."""
        learn_topics(self._producer._metadata, topics)
        for topic in topics:
            with suppress(*_REFUSALS):
                self._producer.partitions_for(topic)

    def close(self, timeout_seconds: float) -> None:
        """Send what is buffered and close."""
        for producer in (self._producer, self._apart):
            if producer is not None:
                producer.close(timeout=timeout_seconds)

    def _replace_if_broken(self) -> None:
        """Put a new producer in the place of one that will send nothing any more."""
        broken = self._producer
        if broken._transaction_manager.has_fatal_error():
            log.warning("the producer is broken by a refused message; taking a new one")
            self._producer = KafkaProducer(**self._options)
            broken.close(timeout=0)


def _send(producer: KafkaProducer, output: Output) -> Receipt:
    try:
        receipt: Receipt = producer.send(output.topic, output.value, output.key, list(output.headers), output.partition)
    except _REFUSALS as error:
        return Refusal(error)
    return receipt
