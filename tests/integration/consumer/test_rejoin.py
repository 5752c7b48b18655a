"""The zombie-member fault of kafka-python, reproduced and healed; rebalances and outages of a running group.

The fault is known of kafka-python 3.0.12. When the reproduction no longer gets stuck, the library has mended it and
`ops.consumer.rejoin` can shrink.
"""

from __future__ import annotations

import signal
import time
from importlib.metadata import version
from typing import Any

import pytest

from ops.core.deadline import Deadline
from ops.sandbox.shared import SharedKafka
from tests.labs.brokers import SpareKafka
from tests.labs.consumer_bench import ConsumerBench, MakeBench

pytestmark = pytest.mark.kafka

FAULTY_VERSIONS = ("3.0.12",)


def _stuck(coordinator: Any) -> bool:
    task = coordinator._join_task
    return bool(coordinator.rejoining and not coordinator.need_rejoin() and task is not None and task.is_done)


def test_short_polls_get_a_member_stuck_and_the_heal_gets_it_going(kafka: SharedKafka) -> None:
    from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError
    from kafka.structs import OffsetAndMetadata

    from ops.consumer.rejoin import Membership

    # Given the library that has the fault, and the only member of a group, joined
    assert version("kafka-python") in FAULTY_VERSIONS
    topic = kafka.unique("rejoin")
    kafka.create_topics({topic: 4})
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=topic, enable_auto_commit=False, metadata_max_age_ms=500
    )
    try:
        consumer.subscribe([topic])
        coordinator = consumer._coordinator
        assert Deadline(30).poll(lambda: consumer.poll(2000) or len(consumer.assignment()) == 4)
        # When the topic grows, and the rejoin that this brings about meets polls shorter than a join
        admin.create_partitions({topic: 8})

        def stuck() -> bool:
            consumer.poll(1)
            return _stuck(coordinator)

        assert Deadline(30).poll(stuck, every=0), "the fault does not show: is it mended?"
        # Then it stays so by itself, with what it had, its commits failing
        assert not Deadline(2).poll(lambda: consumer.poll(5) or not _stuck(coordinator), every=0)
        with pytest.raises(KafkaError):
            consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(0, "", -1)}, timeout_ms=500)
        # When the heal is called each turn
        membership = Membership(consumer)

        def healed() -> bool:
            membership.heal()
            if not membership.joined:
                membership.join(2.0)
            return membership.joined and not coordinator.rejoining

        # Then it is a stable member again, and the heal is counted
        assert Deadline(20).poll(healed)
        assert membership.heals >= 1
        assert len(consumer.assignment()) == 8
    finally:
        admin.close()
        consumer.close()


def test_a_rejoin_that_is_kept_wanted_survives_short_polls(kafka: SharedKafka) -> None:
    from kafka import KafkaAdminClient, KafkaConsumer
    from kafka.consumer.subscription_state import ConsumerRebalanceListener

    from ops.consumer.rejoin import Membership

    class Keeper(ConsumerRebalanceListener):  # type: ignore[misc]
        def on_partitions_revoked(self, revoked: Any) -> None:
            del revoked
            membership.keep_wanting()

        def on_partitions_assigned(self, assigned: Any) -> None:
            pass

    # Given a member as above, whose rejoins are kept wanted
    topic = kafka.unique("rejoin")
    kafka.create_topics({topic: 4})
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    consumer = KafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=topic, enable_auto_commit=False, metadata_max_age_ms=500
    )
    membership = Membership(consumer)
    try:
        consumer.subscribe([topic], listener=Keeper())
        membership.begin()
        assert Deadline(30).poll(lambda: membership.join(2.0))
        first = membership.generation
        # When the topic grows under polls shorter than a join, until the join has begun
        admin.create_partitions({topic: 8})
        coordinator = consumer._coordinator
        assert Deadline(30).poll(lambda: consumer.poll(1) or coordinator.rejoining or len(consumer.assignment()) == 8)

        # Then a long wait takes the join up
        def whole() -> bool:
            consumer.poll(2000)
            return membership.joined and len(consumer.assignment()) == 8

        assert Deadline(30).poll(whole)
        assert membership.generation > first
        assert membership.heals == 0
    finally:
        admin.close()
        consumer.close()


def test_members_that_come_and_go_lose_and_repeat_nothing_and_one_without_partitions_is_ready_too(
    kafka: SharedKafka, bench_of: MakeBench
) -> None:
    # Given a group of one under load
    bench = bench_of(kafka, partitions=2)
    work = {"TEST_WORK_SECONDS": "0.008", "KARAFKA_SESSION_TIMEOUT_SECONDS": "10"}
    bench.start("0", **work)
    bench.ready("0")
    bench.numbers(600)
    # When a second and a third come, which finds nothing to do, and those with partitions go
    bench.start("1", **work)
    bench.ready("1")
    bench.start("2", **work)
    bench.ready("2")
    assert Deadline(20).poll(lambda: sorted(len(bench.group(n).get("assignment", {})) for n in "012") == [0, 1, 1]), (
        bench.log("2")
    )
    idle = next(slot for slot in range(3) if not bench.group(str(slot))["assignment"])
    for slot in {0, 1, 2} - {idle}:
        bench.processes[slot].send_signal(signal.SIGTERM)
        assert bench.processes[slot].wait(30) == 0, bench.log(str(slot))
    bench.numbers(200, first=600)
    # Then every message is answered exactly once
    assert Deadline(60).poll(lambda: bench.committed() == 800), bench.log(str(idle))
    assert bench.sequences(801, timeout_seconds=3) == list(range(800))
    # And the survivor has all partitions
    assert Deadline(10).poll(lambda: bench.group(str(idle))["assignment"] == {bench.source: [0, 1]})


def _settled(bench: ConsumerBench) -> dict[str, Any]:
    """Wait until two members have agreed for longer than their records take; gives what the second one says."""
    since, last = time.monotonic(), None

    def agreed() -> bool:
        nonlocal since, last
        seen = [(one["generation"], one["assignment"]) for one in map(bench.group, "01")]
        if seen != last:
            since, last = time.monotonic(), seen
        return seen[0][0] == seen[1][0] and time.monotonic() - since > 2.0

    assert Deadline(30).poll(agreed, every=0.05), bench.log("0") + bench.log("1")
    found: dict[str, Any] = bench.group("1")
    return found


def test_a_static_member_comes_back_without_a_rebalance(kafka: SharedKafka, bench_of: MakeBench) -> None:
    # Given two static members
    bench = bench_of(kafka)
    for slot in "01":
        bench.start(slot, KARAFKA_INSTANCE_ID=f"slot-{slot}")
        bench.ready(slot)
    before = _settled(bench)
    # When one stops and starts again
    bench.processes[1].send_signal(signal.SIGTERM)
    assert bench.processes[1].wait(20) == 0
    (bench.directory / "1.json").unlink()
    bench.start("1", KARAFKA_INSTANCE_ID="slot-1")
    bench.ready("1")
    # Then generation and partitions are what they were, and it works
    after = bench.group("1")
    assert (after["generation"], after["assignment"]) == (before["generation"], before["assignment"]), bench.log(
        "0"
    ) + bench.log("1")
    bench.numbers(100)
    assert bench.sequences(100) == list(range(100))


@pytest.mark.soak
def test_a_broker_that_is_gone_for_a_while_costs_nothing(spare_kafka: SpareKafka, bench_of: MakeBench) -> None:
    # Given messages in work
    bench = bench_of(spare_kafka)
    bench.numbers(3000)
    process = bench.start(TEST_WORK_SECONDS="0.002")
    assert Deadline(60).poll(lambda: bench.group().get("processed", 0) > 200), bench.log()
    # When the broker goes, long enough for everything under way to fail once, and comes again
    spare_kafka.stop()
    assert Deadline(30).poll(lambda: "waits for the brokers" in bench.log()), bench.log()
    spare_kafka.restart()
    # Then all messages are answered, none is dead-lettered, everything is committed
    assert Deadline(90).poll(lambda: bench.committed() == 3000, every=0.5), bench.log()
    assert set(bench.sequences(3001, timeout_seconds=3)) == set(range(3000))
    assert bench.group()["dead_lettered"] == 0
    assert process.poll() is None
