"""Topics read by people's commands: from where the consumer stands, up to the ends that were there at first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from ops.core.deadline import Deadline


def records_up_to(
    consumer: KafkaConsumer, partitions: Iterable[TopicPartition], ends: Mapping[TopicPartition, int], seconds: float
) -> Iterator[Any]:
    """Give the records of partitions that are assigned and sought to; none that came later than `ends`.

    Parameters
    ----------
    seconds : how long it may take.
    """
    left = {one for one in partitions if consumer.position(one) < ends[one]}
    deadline = Deadline(seconds)
    while left and not deadline.expired:
        for partition, records in consumer.poll(200).items():
            yield from (record for record in records if record.offset < ends[partition])
            if records[-1].offset + 1 >= ends[partition]:
                left.discard(partition)
