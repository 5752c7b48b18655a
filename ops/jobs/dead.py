"""Dead letters: what failed for good, shown, and sent again where it came from.

What was replayed is remembered as the commits of a group of its own, `<dead-letter topic>.replay`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from kafka.structs import OffsetAndMetadata

from ops.consumer.dead_letter import PREFIX
from ops.consumer.errors import DeliveryError, KafkaUnreachableError
from ops.consumer.message import Output
from ops.consumer.outbox import Outbox
from ops.core.brokers import CONNECT_SECONDS, Brokers
from ops.jobs.reading import records_up_to

_SECONDS = 30.0


@dataclass(frozen=True)
class Letter:
    """One dead letter.

    Attributes
    ----------
    at : when it was sent, seconds since 1970.
    topic, partition, offset : where the message stood that failed.
    """

    at: float
    topic: str
    partition: str
    offset: str
    attempts: str
    reason: str
    traceback: str
    key: str
    value: str

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return asdict(self)


class DeadLetters:
    """The dead letters of an app that were not replayed yet.

    Parameters
    ----------
    topic : of the letters, as the cluster names it; one that does not exist has none.

    Raises
    ------
    UnreachableError : no broker let it in.
    """

    def __init__(self, brokers: Brokers, topic: str) -> None:
        brokers.wait(CONNECT_SECONDS)
        try:
            self._consumer = KafkaConsumer(
                **brokers.options(),
                group_id=f"{topic}.replay",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
            numbers = self._consumer.partitions_for_topic(topic) or ()
        except KafkaError as error:
            raise KafkaUnreachableError(f"{type(error).__name__}: {error}", where=str(brokers)) from error
        self._partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
        if self._partitions:
            self._consumer.assign(self._partitions)

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close(autocommit=False)

    def all(self) -> list[Letter]:
        """Read them, the oldest first."""
        return sorted((_letter(record) for record in self._read()), key=lambda letter: letter.at)

    def replay(self, outbox: Outbox) -> int:
        """Send each message again where it came from, and remember that; gives how many.

        Letters whose content was left out, as it was too large, stay: their message is still where it was.

        Raises
        ------
        DeliveryError : one was not taken; those before it are remembered, and it comes first the next time.
        """
        count = 0
        for record in self._read():
            headers = dict(record.headers)
            if PREFIX + "topic" in headers and PREFIX + "omitted" not in headers:
                own = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
                same = headers.get(PREFIX + "partition", b"").decode()
                output = Output(
                    headers[PREFIX + "topic"].decode(), record.value, record.key, own, int(same) if same else None
                )
                receipt = outbox.send(output)
                if not outbox.wait(receipt, _SECONDS) or receipt.exception is not None:
                    raise DeliveryError(
                        f"the message was not taken: {receipt.exception or 'no answer'}", where=output.topic
                    )
                count += 1
            partition = TopicPartition(record.topic, record.partition)
            self._consumer.commit({partition: OffsetAndMetadata(record.offset + 1, "", -1)})
        return count

    def _read(self) -> Iterator[Any]:
        if not self._partitions:
            return
        ends = self._consumer.end_offsets(self._partitions)
        for partition in self._partitions:
            place = self._consumer.committed(partition)
            if place is None:
                self._consumer.seek_to_beginning(partition)
            else:
                self._consumer.seek(partition, place)
        yield from records_up_to(self._consumer, self._partitions, ends, _SECONDS)


def _letter(record: Any) -> Letter:
    facts = {name: value.decode(errors="replace") for name, value in record.headers if name.startswith(PREFIX)}
    told = {name: facts.get(PREFIX + name, "") for name in ("topic", "partition", "offset", "attempts", "reason")}
    return Letter(
        record.timestamp / 1000,
        **told,
        traceback=facts.get(PREFIX + "traceback", ""),
        key=(record.key or b"").decode(errors="replace"),
        value=(record.value or b"").decode(errors="replace"),
    )
