"""One rollout under load, measured by what comes out: answers with sequence numbers, stamped by the broker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from bench.rollout_lab import PARTITIONS, Strategy, Watched
from bench.stalls import Stalls, gaps, lost_and_repeated
from ops.core.deadline import Deadline
from ops.core.errors import OpsError
from ops.reference.traffic import Traffic

RATE = 600
WARM_UP_SECONDS = 3.0
AFTER_SECONDS = 2.0  # what a command leaves behind may come after its end
READ_SECONDS = 60.0
_LONGEST_SECONDS = 600.0


@dataclass(frozen=True)
class Outcome:
    """What one rollout did.

    Attributes
    ----------
    command_seconds : the whole command, its own start included.
    window_seconds : from its start until the group worked as before, and a little more.
    quiet_seconds : for how long the undisturbed gaps were looked at, right before.
    rebalances : how much higher the group's generation is.
    timings : of each process, as the command says them.
    """

    strategy: str
    command_seconds: float
    window_seconds: float
    quiet_seconds: float
    stalls: Stalls
    sent: int
    lost: int
    repeated: int
    rebalances: int
    timings: tuple[dict[str, float], ...] = field(default=())


def measure(lab: Watched, strategy: Strategy, quiet_seconds: float) -> Outcome:
    """Restart a fleet under load.

    What is counted is what came out when the traffic had ended and nothing was left to do.

    Parameters
    ----------
    quiet_seconds : how long to look at the undisturbed fleet first.

    Raises
    ------
    OpsError : the command failed, or the fleet does not work afterwards.
    """
    with _Answers(lab, f"{strategy.group}-out") as answers:
        return _measure(lab, strategy, quiet_seconds, answers)


def _measure(lab: Watched, strategy: Strategy, quiet_seconds: float, answers: _Answers) -> Outcome:
    group, stop = strategy.group, Event()
    traffic = Traffic(lab.brokers, f"{group}-in", partitions=PARTITIONS)
    generation = lab.settled(group)
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(traffic.run, RATE, _LONGEST_SECONDS, stop)
        try:
            _wait(WARM_UP_SECONDS)
            quiet_from = time.time()
            _wait(quiet_seconds)
            command_at = time.time()
            timings = lab.restart(strategy)
            command_seconds = time.time() - command_at
            after = lab.settled(group)
            lab.until_lag(group, RATE)
            _wait(AFTER_SECONDS)
            window_seconds = time.time() - command_at
        finally:
            stop.set()
        sent = sending.result()
    if sent.failed:
        raise OpsError(f"{sent.failed} messages could not be sent")
    lab.until_lag(group, 0)
    processed: dict[int, list[float]] = {}
    numbers = []
    for answer, stamp in answers.until_now():
        if answer["stream"] == traffic.stream:
            numbers.append(int(answer["sequence"]))
            processed.setdefault(int(answer["partition"]), []).append(stamp)
    lost, repeated = lost_and_repeated(sent.asked, numbers)
    return Outcome(
        strategy=strategy.name,
        command_seconds=command_seconds,
        window_seconds=window_seconds,
        quiet_seconds=quiet_seconds,
        stalls=Stalls.of(gaps(processed), quiet_from, command_at),
        sent=sent.count,
        lost=lost,
        repeated=repeated,
        rebalances=after - generation,
        timings=tuple(timings),
    )


class _Answers:
    """What is written to a topic from now on; its time stamps are the broker's."""

    def __init__(self, lab: Watched, topic: str) -> None:
        self._partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        self._consumer = KafkaConsumer(**lab.brokers.options(), max_poll_records=5000)
        self._consumer.assign(self._partitions)
        for partition, end in self._consumer.end_offsets(self._partitions).items():
            self._consumer.seek(partition, end)

    def __enter__(self) -> _Answers:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def until_now(self) -> Iterator[tuple[dict[str, Any], float]]:
        """Give each answer and when it was written, in seconds since 1970.

        Raises
        ------
        OpsError : not all of them could be read within a minute.
        """
        deadline, consumer = Deadline(READ_SECONDS), self._consumer
        ends = consumer.end_offsets(self._partitions)
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            if deadline.expired:
                raise OpsError(f"the answers could not be read within {READ_SECONDS:g} s")
            for records in consumer.poll(500).values():
                for record in records:
                    yield json.loads(record.value), record.timestamp / 1000


def _wait(seconds: float) -> None:
    Deadline(seconds).poll(lambda: False, every=0.1)
