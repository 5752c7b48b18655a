"""What is in a topic."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any


def messages_by_key(bootstrap: str, topic: str) -> dict[str, list[dict[str, Any]]]:
    """Read all messages of a topic that have a key, by key, in order."""
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap, metrics_enabled=False)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for records in consumer.poll(500).values():
                for record in records:
                    if record.key is not None:
                        found[record.key.decode()].append(json.loads(record.value))
    finally:
        consumer.close()
    return found
