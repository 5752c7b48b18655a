"""`inv dead`: dead letters of any app, on a real broker."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from ops.consumer.dead_letter import PREFIX
from ops.core.brokers import Brokers
from ops.kafka.connection import Cluster
from ops.kafka.letters import count_letters
from ops.sandbox.shared import SharedKafka
from tests.labs import in_process

pytestmark = pytest.mark.kafka

APP = """\
from ops.consumer import App, Controller
class AnyController(Controller):
    pass
app = App("{name}")
app.topic("{name}-in", controller=AnyController)
app.topic("{name}-late", controller=AnyController, dead_letter="{name}-late-dead")
"""


class Letters:
    """An app without background jobs, its topics, and letters that somebody wrote."""

    def __init__(self, kafka: SharedKafka, directory: Path) -> None:
        self.kafka, self.directory, self.name = kafka, directory, kafka.unique("letters")
        self.box, self.late = f"{self.name}.dead", f"{self.name}-late-dead"
        kafka.create_topics({f"{self.name}-in": 1, f"{self.name}-late": 1, self.box: 2, self.late: 1})
        (directory / "tasks.py").write_text("from ops.tasks import namespace as ns\n")
        (directory / "letters_app.py").write_text(APP.format(name=self.name))

    def write(self, value: bytes, *, box: str = "", partition: int = 0, **facts: str | None) -> None:
        """Write a letter as the consumer does; a fact that is None has no header."""
        told = {
            "topic": f"{self.name}-in",
            "partition": "0",
            "offset": "1",
            "attempts": "4",
            "reason": "no luck",
            **facts,
        }
        headers = [(PREFIX + name, text.encode()) for name, text in told.items() if text is not None]
        producer = KafkaProducer(bootstrap_servers=self.kafka.bootstrap)
        producer.send(box or self.box, value, key=b"k", headers=[("own", b"1"), *headers], partition=partition).get(20)
        producer.close()

    def inv(self, *arguments: str, code: int = 0) -> CompletedProcess[str]:
        env = {"KARAFKA_BROKERS": self.kafka.bootstrap, "KARAFKA_APP": "letters_app:app"}
        return in_process.inv(self.directory, *arguments, code=code, env=env)

    def there(self) -> dict[str, Any]:
        """Give the letters that are shown, by content."""
        return {one["value"]: one["name"] for one in json.loads(self.inv("dead", "--json").stdout)}

    def count(self, *topics: str) -> dict[str, int | None]:
        """Give how many there are by the offsets of their topics."""
        with Cluster(Brokers.at(self.kafka.bootstrap)) as cluster:
            return count_letters(cluster, topics)

    def arrived(self) -> list[tuple[bytes, list[tuple[str, bytes | None]]]]:
        """Give what came to the topic again, with its headers."""
        consumer = KafkaConsumer(bootstrap_servers=self.kafka.bootstrap, consumer_timeout_ms=10_000)
        partition = TopicPartition(f"{self.name}-in", 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        count = consumer.end_offsets([partition])[partition]
        found = [next(consumer) for _ in range(count)]
        consumer.close()
        return [(one.value, list(one.headers)) for one in found]


def test_letters_of_any_app_are_shown_and_sent_again_or_discarded_one_by_one_and_nothing_is_lost(
    kafka: SharedKafka, tmp_path: Path
) -> None:
    # Given letters of an app without background jobs, on two dead-letter topics; one has no content, one knows
    # nothing of itself, and the topic of one is gone
    letters = Letters(kafka, tmp_path)
    for value in (b"a", b"b", b"c"):
        letters.write(value)
    letters.write(b"d", partition=1)
    letters.write(b"left out", omitted="value of 9 bytes")
    letters.write(b"stray", topic=None)
    letters.write(b"gone", topic=f"{letters.name}-gone")
    letters.write(b"late", box=letters.late)

    # When they are listed, Then each has the name of its own place
    there = letters.there()
    assert (there["b"], there["d"], there["late"]) == (
        f"{letters.box}:0@1",
        f"{letters.box}:1@0",
        f"{letters.late}:0@0",
    )

    # When one in the middle is sent again and one discarded, Then the others are shown as before
    assert letters.inv("dead", "--replay", there["b"]).stdout == "sent 1 message again\n"
    assert letters.inv("dead", "--discard", f"{there['a']},{there['late']}").stdout == "discarded 2 letters\n"
    assert set(letters.there()) == {"c", "d", "left out", "stray", "gone"}
    # And a status would count them so, by offsets alone; a topic that does not exist has none
    counted = letters.count(letters.box, letters.late, f"{letters.name}-never")
    assert counted == {letters.box: 5, letters.late: 0, f"{letters.name}-never": 0}
    assert letters.arrived() == [(b"b", [("own", b"1")])]

    # When all are sent again, Then those that cannot be stay, each with its reason, and none stands in the way
    done = letters.inv("dead", "--replay", code=1)
    assert done.stdout == "sent 2 messages again\n"
    assert "value of 9 bytes" in done.stderr
    assert "does not say where it came from" in done.stderr
    assert f"{letters.name}-gone" in done.stderr
    assert set(letters.there()) == {"left out", "stray", "gone"}
    assert sorted(value for value, _ in letters.arrived()) == [b"b", b"c", b"d"]

    # And a name that is none is refused before anything is done
    wrong = letters.inv("dead", "--discard", f"{there['gone']},{there['a']}", code=2)
    assert there["a"] in wrong.stderr
    assert set(letters.there()) == {"left out", "stray", "gone"}

    # And all that is left can be discarded
    letters.inv("dead", "--discard", "all")
    assert letters.inv("dead").stdout == "0 dead letters\n"
