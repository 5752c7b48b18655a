"""Dead letters: what failed for good, shown, sent again where it came from, or discarded, one or all of them.

What was sent again or discarded is remembered by commits of a group of its own, `<dead-letter topic>.replay`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata

from ops.consumer.client import onlooker
from ops.consumer.dead_letter import PREFIX
from ops.consumer.errors import KafkaUnreachableError
from ops.consumer.message import Output
from ops.consumer.outbox import Outbox
from ops.core.amounts import in_seconds
from ops.core.brokers import Brokers
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.core.handled import Handled, handler_of

_SECONDS = 30.0


@dataclass(frozen=True)
class Letter:
    """One dead letter.

    Attributes
    ----------
    name : where it stands itself: `TOPIC:PARTITION@OFFSET`.
    at : when it was sent, seconds since 1970.
    topic, partition, offset : where the message stood that failed; empty where it does not say.
    omitted : what is said of a content that was too large to be sent again; empty for one that is there.
    """

    name: str
    at: float
    topic: str
    partition: str
    offset: str
    attempts: str
    reason: str
    traceback: str
    key: str
    value: str
    omitted: str

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON data."""
        return asdict(self)


@dataclass(frozen=True)
class Replayed:
    """What became of letters that were to be sent again.

    Attributes
    ----------
    sent : how many were.
    kept : of the others the name, and why it stays.
    """

    sent: int
    kept: tuple[tuple[str, str], ...]


class LetterBox:
    """The dead letters of one topic that were neither sent again nor discarded.

    Parameters
    ----------
    topic : of the letters, as the cluster names it; one that does not exist has none.

    Raises
    ------
    UnreachableError : no broker let it in.
    """

    def __init__(self, brokers: Brokers, topic: str) -> None:
        self._where = str(brokers)
        self._consumer, self._partitions = onlooker(brokers, topic, handler_of(topic))
        self._handled: dict[TopicPartition, Handled] = {}
        if self._partitions:
            self._consumer.assign(self._partitions)

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close(autocommit=False)

    def all(self) -> list[Letter]:
        """Read them, the oldest first."""
        return sorted((_letter(record) for record in self._read()), key=lambda letter: letter.at)

    def replay(self, outbox: Outbox, names: Collection[str] | None = None) -> Replayed:
        """Send messages again where they came from; each that was taken is remembered before the next one goes.

        One that is not taken stays, and so does one without its content: that is still where it failed.

        Parameters
        ----------
        names : of the letters; None for all.
        """
        sent, kept = 0, []
        closed: dict[str, str] = {}  # topics that take nothing: each would be waited for again
        for record in self._wanted(names):
            letter = _letter(record)
            why = _unfit(letter) or closed.get(letter.topic, "")
            if not why:
                why = _send(record, letter, outbox)
                if why:
                    closed[letter.topic] = why
            if why:
                kept.append((letter.name, why))
                continue
            self._settle(record)
            sent += 1
        return Replayed(sent, tuple(kept))

    def discard(self, names: Collection[str] | None = None) -> int:
        """Show letters no more; gives how many. The topic keeps them until its retention ends.

        Parameters
        ----------
        names : of the letters; None for all.
        """
        count = 0
        for record in self._wanted(names):
            self._settle(record)
            count += 1
        return count

    def _wanted(self, names: Collection[str] | None) -> Iterator[Any]:
        return (record for record in self._read() if names is None or _name(record) in names)

    def _settle(self, record: Any) -> None:
        """Remember that a letter is handled.

        Raises
        ------
        OpsError : there are too many holes between those that are.
        """
        partition = TopicPartition(record.topic, record.partition)
        handled = self._handled[partition]
        handled.add(record.offset, record.offset + 1)
        try:
            text = handled.text
        except ValueError:
            raise OpsError(
                f"{_name(record)} cannot be remembered: too many letters before it are left",
                where=record.topic,
                hint="send the oldest ones again, or discard them",
            ) from None
        self._consumer.commit({partition: OffsetAndMetadata(handled.offset, text, -1)})

    def _read(self) -> Iterator[Any]:
        """Give those that are there now and were not handled.

        Raises
        ------
        KafkaUnreachableError : for a while nothing came.
        """
        if not self._partitions:
            return
        ends = self._consumer.end_offsets(self._partitions)
        begins = self._consumer.beginning_offsets(self._partitions)
        for partition in self._partitions:
            place = self._consumer.committed(partition, metadata=True)
            handled = Handled(place.offset, place.metadata or "") if place is not None else Handled(0)
            handled.add(0, begins[partition])
            self._handled[partition] = handled
            self._consumer.seek(partition, handled.offset)
        deadline = Deadline(_SECONDS)
        while left := [one for one in self._partitions if self._consumer.position(one) < ends[one]]:
            if deadline.expired:
                place = f"{left[0].topic}[{left[0].partition}]"
                what = f"no letter came for {in_seconds(_SECONDS)}, and {place} is not at its end"
                raise KafkaUnreachableError(what, where=self._where)
            before = {one: self._consumer.position(one) for one in left}
            for partition, records in self._consumer.poll(200).items():
                deadline = Deadline(_SECONDS)
                at = before.get(partition, ends[partition])
                for record in records:
                    self._handled[partition].add(at, record.offset)  # what is between two records is none
                    at = record.offset + 1
                    if record.offset < ends[partition] and record.offset not in self._handled[partition]:
                        yield record


def _send(record: Any, letter: Letter, outbox: Outbox) -> str:
    """Send a letter's message; gives why it was not taken, empty where it was."""
    own = [(name, value) for name, value in record.headers if not name.startswith(PREFIX)]
    partition = int(letter.partition) if letter.partition.isdecimal() else None
    receipt = outbox.send(Output(letter.topic, record.value, record.key, own, partition))
    if not outbox.wait(receipt, _SECONDS):
        return f"{letter.topic} did not answer within {in_seconds(_SECONDS)}"
    return "" if receipt.exception is None else f"{letter.topic}: {receipt.exception}"


def _unfit(letter: Letter) -> str:
    """Say why a letter cannot be sent again; empty where it can."""
    if letter.omitted:
        return f"its content was left out: {letter.omitted}"
    return "" if letter.topic else "it does not say where it came from"


def _name(record: Any) -> str:
    return f"{record.topic}:{record.partition}@{record.offset}"


def _letter(record: Any) -> Letter:
    facts = {name: (value or b"").decode(errors="replace") for name, value in record.headers if name.startswith(PREFIX)}
    names = ("topic", "partition", "offset", "attempts", "reason", "traceback", "omitted")
    return Letter(
        name=_name(record),
        at=record.timestamp / 1000,
        **{name: facts.get(PREFIX + name, "") for name in names},
        key=(record.key or b"").decode(errors="replace"),
        value=(record.value or b"").decode(errors="replace"),
    )
