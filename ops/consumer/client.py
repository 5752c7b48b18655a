"""How this package configures kafka-python: one place for the consumer's and the producer's options."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from ops.consumer.assignor import RoundRobin
from ops.consumer.errors import KafkaUnreachableError
from ops.consumer.settings import ConsumerSettings
from ops.core.amounts import named
from ops.core.brokers import CONNECT_SECONDS, REFUSED_SECONDS, Brokers
from ops.core.deadline import Deadline
from ops.core.errors import UnreachableError
from ops.core.knock import RefusedError

log = logging.getLogger(__name__)

POLL_RECORDS = 500
_LOG_EVERY_SECONDS = 3.0
_REQUEST_TIMEOUT_MILLISECONDS = 30_000
_FOREVER_MILLISECONDS = 2**31 - 1  # an outage of the brokers is waited out: giving up would lose or reorder


def connection_options(settings: ConsumerSettings, client_id: str) -> dict[str, Any]:
    """Give the options that every client shares."""
    return settings.brokers.options() | {
        "client_id": client_id,
        "request_timeout_ms": _REQUEST_TIMEOUT_MILLISECONDS,
        "reconnect_backoff_max_ms": 1000,  # after an outage nobody should wait for half a minute
    }


def consumer_options(settings: ConsumerSettings, client_id: str, group: str, *, from_beginning: bool) -> dict[str, Any]:
    """Give the options of one group's connection."""
    return connection_options(settings, client_id) | {
        "metrics_enabled": False,
        "group_id": group,
        "group_instance_id": settings.instance_id or None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest" if from_beginning else "latest",
        "allow_auto_create_topics": False,
        "partition_assignment_strategy": (RoundRobin,),
        "session_timeout_ms": int(settings.session_timeout_seconds * 1000),
        "heartbeat_interval_ms": int(settings.heartbeat_interval_seconds * 1000),
        "max_poll_interval_ms": int(settings.max_poll_interval_seconds * 1000),
        "max_poll_records": POLL_RECORDS,
    }


def producer_options(settings: ConsumerSettings, client_id: str) -> dict[str, Any]:
    """Give the options of the producer."""
    return connection_options(settings, client_id) | {
        "metrics_enabled": False,
        "acks": "all",
        "delivery_timeout_ms": _FOREVER_MILLISECONDS,
        "max_request_size": settings.max_message_bytes,
        "allow_auto_create_topics": False,
        "batch_size": 256 * 1024,
        "max_block_ms": 5000,
    }


def learn_topics(cluster: Any, topics: Iterable[str]) -> Any:
    """Let a client ask for topics at once and in one request; gives the future of the answer.

    kafka-python 3.0.12 lets retry_backoff_ms (100 ms) pass between two such requests, also between its first one,
    which names no topic, and the next; and the producer makes one request a topic.
    """
    cluster._last_refresh_ms = 0
    return cluster.set_topics(set(topics))


def onlooker(brokers: Brokers, topic: str, group: str) -> tuple[KafkaConsumer, list[TopicPartition]]:
    """Return a consumer that looks at a topic without joining any group, and the topic's partitions in order.

    Parameters
    ----------
    group : whose commits it reads.

    Raises
    ------
    UnreachableError : no broker let it in.
    """
    brokers.wait(CONNECT_SECONDS, refused_seconds=REFUSED_SECONDS)
    try:
        consumer = KafkaConsumer(
            **brokers.options(),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            bootstrap_timeout_ms=int(CONNECT_SECONDS * 1000),
        )
        numbers = consumer.partitions_for_topic(topic) or ()
    except KafkaError as error:
        raise KafkaUnreachableError(named(error), where=str(brokers)) from error
    return consumer, [TopicPartition(topic, number) for number in sorted(numbers)]


def wait_for_brokers(settings: ConsumerSettings, deadline: Deadline) -> None:
    """Wait until one of the brokers lets a client in; a log line every few seconds.

    Raises
    ------
    KafkaUnreachableError : none did before the deadline.
    RefusedError : they let nobody in with these settings.
    """
    quiet = Deadline(0)

    def waiting(problems: str) -> None:
        nonlocal quiet
        if quiet.expired:
            log.warning("waiting for a broker, %.0f s left: %s", deadline.remaining, problems)
            quiet = Deadline(_LOG_EVERY_SECONDS)

    try:
        settings.brokers.wait(deadline.remaining, waiting)
    except RefusedError:
        raise
    except UnreachableError as error:
        raise KafkaUnreachableError(error.what, where=error.where, hint=error.hint) from None
