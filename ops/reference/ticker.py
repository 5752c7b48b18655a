"""The ticker: asks for a refresh of every resource, again and again."""

from __future__ import annotations

import json
import logging
import secrets
import time
from threading import Event
from typing import Any

from kafka.errors import KafkaError

from ops.core.brokers import Brokers
from ops.reference.errors import DatabaseError
from ops.reference.resources import Resources
from ops.reference.traffic import open_producer

log = logging.getLogger(__name__)

TOPIC = "sources_refresh"
INTERVAL_SECONDS = 5.0


class Ticker:
    """Sends one `sources_refresh` a resource at every tick.

    The ticks lie at whole intervals after the start, however long one takes; those that have passed
    meanwhile are left out.

    Parameters
    ----------
    resources : asked anew at each tick.
    """

    def __init__(self, brokers: Brokers, resources: Resources, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._brokers = brokers
        self._resources = resources
        self._interval = interval_seconds
        self._sequence = 0
        self.stream = secrets.token_hex(4)
        self.ticks = 0

    def run(self, stop: Event, seconds: float | None = None) -> int:
        """Tick until `stop`, or for some seconds; gives the number of messages sent.

        Raises
        ------
        UnreachableError, UsageError : at the start, if no broker answers or the topic is missing. Later
            outages are logged: the tick is left out.
        """
        # What is not delivered by the next tick is overtaken by it.
        expire = max(1000, int(self._interval * 1000))
        producer = open_producer(
            self._brokers, "ticker", TOPIC, delivery_timeout_ms=expire, request_timeout_ms=expire - 1
        )
        began = time.monotonic()
        try:
            while not stop.is_set():
                self._tick(producer)
                spent = time.monotonic() - began
                ahead = (spent // self._interval + 1) * self._interval
                if seconds is not None and ahead > seconds:
                    stop.wait(max(0.0, seconds - spent))
                    break
                stop.wait(ahead - spent)
        finally:
            producer.close(timeout=2)
        return self._sequence

    def _tick(self, producer: Any) -> None:
        self.ticks += 1
        try:
            ids = self._resources.ids()
            for id in ids:
                message = {"id": id, "sequence": self._sequence, "stream": self.stream}
                producer.send(TOPIC, json.dumps(message).encode(), id.encode())
                self._sequence += 1
            producer.flush(timeout=self._interval)
        except (KafkaError, DatabaseError) as error:
            log.warning("tick %d was left out: %s", self.ticks, error)
        else:
            log.info("tick %d: %d resources", self.ticks, len(ids))
