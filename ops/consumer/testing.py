"""Testing helpers: run a controller on a message and see what it would have sent, without a broker.

Example
-------
    def test_a_created_user_is_announced():
        result = run(app, "users_create", {"id": 1})
        assert result.sent("users_created") == [{"id": 1}]
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ops.consumer.app import App
from ops.consumer.errors import RoutingError
from ops.consumer.message import Headers, Message, Output, PlainMessage
from ops.consumer.outbox import Receipt, Refusal
from ops.consumer.parser import serialize
from ops.consumer.performer import Performer, parse, perform
from ops.consumer.retry import RetryPolicy
from ops.consumer.route import Route


@dataclass(frozen=True)
class Result:
    """What a message led to.

    Attributes
    ----------
    outputs : what would have been sent, in order; topics are the cluster's names.
    known : the topics that the app reads or may send to.
    """

    outputs: tuple[Output, ...]
    known: tuple[str, ...]

    @property
    def topics(self) -> list[str]:
        """Give the topics sent to, in order."""
        return [output.topic for output in self.outputs]

    def sent(self, topic: str) -> list[Any]:
        """Give what was sent to one topic, read back from JSON; text that is none as it is.

        Raises
        ------
        RoutingError : the app has no such topic, so that nothing could ever be sent there.
        """
        if topic not in self.known:
            near = difflib.get_close_matches(topic, self.known, 1)
            raise RoutingError(f"the app has no topic {topic!r}{f', but {near[0]!r}' if near else ''}")
        return [_read(output.value) for output in self.outputs if output.topic == topic]


def run(app: App, topic: str, data: Any, *, key: str | None = None, headers: Headers = ()) -> Result:
    """Run one message through its route, once: parser, controller, backend, responder and its checks.

    Parameters
    ----------
    topic : the app's name of it.
    data : bytes and strings as they are, None for a tombstone, anything else as JSON; a list of them for batch_mode.

    Raises
    ------
    Whatever the controller raises; ParseError; ResponderError for a broken contract.
    """
    route = _route(app, topic)
    batch = data if route.batch_mode and isinstance(data, list) else [data]
    messages = [message_of(route.source, item, key=key, headers=headers, offset=n) for n, item in enumerate(batch)]
    controller = route.controller(route, messages, [parse(route, message) for message in messages])
    return Result(tuple(perform(controller)), app.topic_names())


def run_to_the_end(app: App, topic: str, data: Any, *, retries: int = 3) -> Result:
    """Run one message as the server does, without its waits: retries, and a dead letter when it fails for good."""
    route = _route(app, topic)
    performer = Performer(route, RetryPolicy(retries, 0.0), lambda _: True)
    outputs = performer.handle([message_of(route.source, data)])
    return Result(tuple(outputs or ()), app.topic_names())


def message_of(
    topic: str, data: Any, *, key: str | None = None, headers: Headers = (), partition: int = 0, offset: int = 0
) -> Message:
    """Make a message by hand."""
    value = None if data is None else serialize(data)
    return PlainMessage(topic, value, key.encode() if key is not None else None, headers, partition, offset)


class FakeOutbox:
    """An outbox that keeps what it is given; it knows the topics it is told of, refuses others and what is too large.

    Parameters
    ----------
    topics : that exist; None for all.
    max_message_bytes : largest value that gets through.
    """

    def __init__(self, topics: Iterable[str] | None = None, max_message_bytes: int = 1024 * 1024) -> None:
        self.outputs: list[Output] = []
        self.outage = False
        self._topics = None if topics is None else frozenset(topics)
        self._max_message_bytes = max_message_bytes

    def send(self, output: Output) -> Receipt:
        """Keep one message."""
        if self.outage:
            return Refusal(ConnectionError("no broker"))
        if self._topics is not None and output.topic not in self._topics:
            return Refusal(TimeoutError(f"topic {output.topic} is unknown"))
        if len(output.value or b"") > self._max_message_bytes:
            return Refusal(ValueError(f"larger than {self._max_message_bytes} bytes"))
        if output.value is None and output.key is None:
            return Refusal(ValueError("a message needs a key or a value"))
        self.outputs.append(output)
        return Acknowledgement()

    def send_apart(self, output: Output) -> Receipt:
        """Keep one message: here no failure is another's."""
        return self.send(output)

    def wait(self, receipt: Receipt, timeout_seconds: float) -> bool:
        """Tell whether it is settled: here it always is."""
        del timeout_seconds
        return receipt.is_done

    def transient(self, error: BaseException) -> bool:
        """Whether the same message may get through later."""
        return isinstance(error, OSError)


class Acknowledgement:
    """The receipt of a message that has arrived."""

    is_done = True
    exception: BaseException | None = None


def _route(app: App, topic: str) -> Route:
    for route in app.routes:
        if route.topic == topic:
            return route
    raise RoutingError(f"no route for topic {topic!r}", where=app.name)


def _read(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return json.loads(value)
    except ValueError:
        return value.decode(errors="replace")
