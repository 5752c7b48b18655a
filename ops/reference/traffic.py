"""Steady traffic with sequence numbers: what tests, benches and the demo put on a topic."""

from __future__ import annotations

import json
import logging
import secrets
import time
from dataclasses import dataclass
from threading import Event
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from ops.core.amounts import in_seconds
from ops.core.brokers import Brokers
from ops.core.errors import UnreachableError, UsageError

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
TOPIC_SECONDS = 8.0  # for a topic that was made a moment ago, of a broker that has just been restarted
FLUSH_SECONDS = 30.0
RESOURCES = 60


@dataclass(frozen=True)
class Sent:
    """What was sent.

    Attributes
    ----------
    stream : the name that all messages of this run carry.
    count : messages acknowledged by the brokers; their sequence numbers are 0 to `asked` - 1, less the failed ones.
    asked, failed : messages handed to the client, and those never acknowledged.
    """

    topic: str
    stream: str
    asked: int
    count: int
    failed: int
    seconds: float


class Traffic:
    """A producer of numbered messages about a few resources.

    Parameters
    ----------
    topic : must exist.
    resources : how many ids there are, r0 and so on; messages are keyed by them and take turns.
    partitions : of the topic; messages take turns among so many of them instead of going by their keys, so that each
        gets its share. 0 for by their keys.
    """

    def __init__(self, brokers: Brokers, topic: str, *, resources: int = RESOURCES, partitions: int = 0) -> None:
        self.topic = topic
        self.stream = secrets.token_hex(4)
        self._brokers = brokers
        self._resources = resources
        self._partitions = partitions
        self._failures: list[BaseException] = []

    def run(self, rate: float, seconds: float, stop: Event | None = None) -> Sent:
        """Send `rate` messages a second for some seconds, and wait until the brokers have them.

        The schedule is fixed at the start: a hold-up is made up for, not added.

        Parameters
        ----------
        stop : ends the run early.

        Raises
        ------
        UnreachableError, UsageError : no broker answers; there is no such topic.
        """
        stop = stop or Event()
        producer = open_producer(self._brokers, "traffic", self.topic)
        try:
            began = time.monotonic()
            total, number = int(rate * seconds), 0
            while number < total and not stop.is_set():
                due = min(total, int((time.monotonic() - began) * rate) + 1)
                while number < due:
                    self._send(producer, number)
                    number += 1
                stop.wait(max(0.0, began + number / rate - time.monotonic()))
            producer.flush(timeout=FLUSH_SECONDS)
            spent = time.monotonic() - began
        except KafkaError as error:
            raise UnreachableError(f"not all messages were acknowledged: {error}", where=str(self._brokers)) from error
        finally:
            producer.close(timeout=1)
        if self._failures:
            log.warning("%d messages were not acknowledged, such as: %s", len(self._failures), self._failures[0])
        failed = len(self._failures)
        return Sent(self.topic, self.stream, number, number - failed, failed, spent)

    def _send(self, producer: Any, number: int) -> None:
        id = f"r{number % self._resources}"
        message = {"id": id, "name": f"resource {id}", "sequence": number, "stream": self.stream}
        try:
            partition = number % self._partitions if self._partitions else None
            receipt = producer.send(self.topic, json.dumps(message).encode(), id.encode(), partition=partition)
        except KafkaError as error:
            self._failures.append(error)
        else:
            receipt.add_errback(self._failures.append)


def open_producer(brokers: Brokers, client_id: str, topic: str, **options: Any) -> Any:
    """Connect a producer for a topic.

    Raises
    ------
    UnreachableError : no broker answers.
    UsageError : there is no such topic.
    """
    brokers.wait(CONNECT_SECONDS)
    try:
        producer = KafkaProducer(
            **brokers.options(),
            client_id=client_id,
            acks="all",
            allow_auto_create_topics=False,
            bootstrap_timeout_ms=int(CONNECT_SECONDS * 1000),
            max_block_ms=int(TOPIC_SECONDS * 1000),
            reconnect_backoff_max_ms=1000,
            metrics_enabled=False,
            **options,
        )
    except KafkaError as error:
        raise UnreachableError(
            f"no broker answered within {in_seconds(CONNECT_SECONDS)}: {error}",
            where=str(brokers),
            hint="check KARAFKA_BROKERS",
        ) from error
    try:
        known = producer.partitions_for(topic)
    except KafkaError as error:
        known = None
        log.debug("no metadata of topic %s: %s", topic, error)
    if not known:
        producer.close(timeout=1)
        raise UsageError(
            f"there is no topic {topic!r}", where=str(brokers), hint="inv topics.apply makes what is missing"
        )
    return producer
