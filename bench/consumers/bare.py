"""A bare kafka-python loop: polls, parses, sends one message each, commits a batch.

Its clients are set up as the framework's are.
"""

from __future__ import annotations

import json
import os

from kafka import KafkaConsumer, KafkaProducer

from ops.consumer.client import consumer_options, producer_options
from ops.consumer.settings import ConsumerSettings

settings = ConsumerSettings.from_environment(os.environ)
consumer = KafkaConsumer(**consumer_options(settings, "bare", os.environ["BENCH_GROUP"], from_beginning=True))
producer = KafkaProducer(**producer_options(settings, "bare"))
target = os.environ["BENCH_TARGET"]
encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
consumer.subscribe([os.environ["BENCH_SOURCE"]])
while True:
    for messages in consumer.poll(200).values():
        futures = [producer.send(target, encode(json.loads(message.value)).encode()) for message in messages]
        producer.flush()
        for future in futures:
            future.get(0)
        consumer.commit()
