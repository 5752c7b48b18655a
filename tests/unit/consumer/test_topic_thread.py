"""A topic's thread: order, reports after acknowledgement, halting, abandoning, refusals, outages."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from ops.consumer import App, Controller, Responder, topic
from ops.consumer.delivery import Sent
from ops.consumer.ledger import OffsetLedger, Place
from ops.consumer.progress import Progress
from ops.consumer.retry import RetryPolicy
from ops.consumer.testing import FakeOutbox, message_of
from ops.consumer.topic_thread import Batch, TopicThread, batches
from ops.core.deadline import Deadline


class Gate:
    """What the controller waits at."""

    opened = threading.Event()
    reached = threading.Event()
    performed: ClassVar[list[list[Any]]] = []


class StepController(Controller):
    def perform(self) -> None:
        if self.params == "hold":
            Gate.reached.set()
            Gate.opened.wait(20)
        if self.params == "fail":
            raise RuntimeError("no")
        self.respond_with("x" * 2000 if self.params == "large" else self.params)


class CountController(Controller):
    """Answers to a batch with how many messages it has."""

    def perform(self) -> None:
        Gate.performed.append(list(self.params_batch))
        if self.params_batch[0] == "hold":
            Gate.reached.set()
            Gate.opened.wait(20)
        self.respond_with("x" * 2000 if "large" in self.params_batch else len(self.params_batch))


class StepResponder(Responder):
    topics = (topic("out"),)

    def respond(self, data: Any) -> None:
        self.respond_to("out", data)


class Rig:
    """A thread with a fake way out."""

    def __init__(self, retries: int = 0, backoff: float = 0.0, *, batch_mode: bool = False) -> None:
        Gate.opened.clear()
        Gate.reached.clear()
        Gate.performed.clear()
        app = App("steps")
        controller = CountController if batch_mode else StepController
        route = app.topic("in", controller=controller, responder=StepResponder, batch_mode=batch_mode)
        self.outbox = FakeOutbox(max_message_bytes=1000)
        self.finished: deque[Sent] = deque()
        self.thread = TopicThread(route, self.outbox, self.finished, RetryPolicy(retries, backoff), Progress())
        self.thread.start()

    def put(self, *data: Any, epoch: int = 0, offset: int = 0, partition: int = 0) -> None:
        messages = [
            message_of("in", json.dumps(item), partition=partition, offset=offset + n) for n, item in enumerate(data)
        ]
        self.thread.put(Batch(epoch, partition, messages, 10 * len(messages)))

    def offset(self) -> int:
        return max((offset for part in self.finished for offset in part.offsets.values()), default=0)

    def values(self, name: str = "out") -> list[Any]:
        return [output.value for output in self.outbox.outputs if output.topic == name]


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    Gate.opened.set()
    made.thread.close()
    made.thread.join(10)
    assert not made.thread.is_alive()


def test_messages_are_performed_in_order_and_reported(rig: Rig) -> None:
    rig.put("a", "b", "c")
    rig.put("d", offset=3)
    assert Deadline(5).poll(lambda: rig.offset() == 4)
    assert rig.values() == [b"a", b"b", b"c", b"d"]
    assert Deadline(5).poll(lambda: not rig.thread.busy)
    assert (rig.thread.processed, rig.thread.backlog, rig.thread.backlog_bytes) == (4, 0, 0)


def test_a_halt_finishes_the_message_in_work_and_gives_up_the_rest(rig: Rig) -> None:
    # Given a message in work, one behind it, and a batch queued
    rig.put("hold", "behind")
    rig.put("queued", offset=2)
    assert Gate.reached.wait(5)
    # When halted
    rig.thread.halt(0)
    assert rig.thread.busy
    Gate.opened.set()
    # Then that one is done and reported, nothing else
    assert Deadline(5).poll(lambda: not rig.thread.busy)
    assert (rig.values(), rig.offset()) == ([b"hold"], 1)
    # And the next epoch begins anew
    rig.put("behind", "queued", epoch=1, offset=1)
    assert Deadline(5).poll(lambda: rig.offset() == 3)


def test_what_is_abandoned_sends_and_reports_nothing(rig: Rig) -> None:
    rig.put("hold")
    assert Gate.reached.wait(5)
    rig.thread.halt(0)
    rig.thread.abandon(0)
    Gate.opened.set()
    assert Deadline(5).poll(lambda: not rig.thread.busy)
    assert (rig.values(), rig.offset()) == ([], 0)


def test_an_outage_is_waited_out_without_dead_letters(rig: Rig) -> None:
    # Given no broker
    rig.outbox.outage = True
    rig.put("a", "b")
    assert Deadline(5).poll(lambda: rig.thread.processed == 2)
    assert rig.thread.busy
    assert rig.offset() == 0
    # When it is back
    rig.outbox.outage = False
    # Then everything arrives, and only then it is reported
    assert Deadline(10).poll(lambda: rig.offset() == 2)
    assert rig.values() == [b"a", b"b"]
    assert rig.thread.dead_lettered == 0


def test_a_refused_answer_makes_its_cause_a_dead_letter(rig: Rig) -> None:
    rig.put("large", "small")
    assert Deadline(10).poll(lambda: rig.offset() == 2)
    assert rig.values() == [b"small"]
    assert rig.values("steps.dead") == [b'"large"']
    assert rig.thread.dead_lettered == 1


def test_a_failed_message_does_not_hold_back_the_report_of_those_before_it() -> None:
    # Given a long wait before the retry
    rig = Rig(retries=1, backoff=30.0)
    rig.put("a", "fail", "c")
    # Then what came before is reported meanwhile
    assert Deadline(5).poll(lambda: rig.offset() == 1)
    # And a halt ends the wait, the failed one being left undone
    rig.thread.halt(0)
    assert Deadline(5).poll(lambda: not rig.thread.busy)
    assert (rig.offset(), rig.thread.failed, rig.thread.dead_lettered) == (1, 1, 0)
    rig.thread.close()
    rig.thread.join(5)


@pytest.fixture
def in_batches() -> Iterator[Rig]:
    made = Rig(batch_mode=True)
    yield made
    Gate.opened.set()
    made.thread.close()
    made.thread.join(10)
    assert not made.thread.is_alive()


def test_what_waits_is_one_batch_whatever_its_partition(in_batches: Rig) -> None:
    # Given a batch in work, and four fetches meanwhile, of two partitions in turns
    in_batches.put("hold")
    assert Gate.reached.wait(5)
    in_batches.put("a", "b", offset=1)
    in_batches.put("c", partition=1)
    in_batches.put("d", offset=3)
    in_batches.put("e", "f", "g", partition=1, offset=1)
    assert (in_batches.thread.backlog, in_batches.thread.backlog_bytes) == (7, 70)
    # When the one in work is done
    Gate.opened.set()
    # Then the rest is one batch, each partition's messages in a row, and each partition's offset is reported
    assert Deadline(5).poll(lambda: not in_batches.thread.busy)
    assert in_batches.values() == [b"1", b"7"]
    assert Gate.performed == [["hold"], ["a", "b", "d", "c", "e", "f", "g"]]
    assert [part.offsets for part in in_batches.finished] == [{0: 1}, {0: 4, 1: 4}]
    assert (in_batches.thread.processed, in_batches.thread.backlog, in_batches.thread.backlog_bytes) == (8, 0, 0)


def test_a_batch_takes_in_no_more_than_a_fetch_may_give_and_nothing_of_another_assignment(in_batches: Rig) -> None:
    # Given a batch in work
    in_batches.put("hold")
    assert Gate.reached.wait(5)
    # When 501 messages come in two fetches, and then one of the next epoch
    in_batches.put(*["x"] * 300, offset=1)
    in_batches.put(*["x"] * 201, offset=301)
    in_batches.put("x", offset=502, epoch=1)
    Gate.opened.set()
    # Then they are batches of their own
    assert Deadline(5).poll(lambda: not in_batches.thread.busy)
    assert in_batches.values() == [b"1", b"300", b"201", b"1"]


def test_a_batch_whose_output_is_refused_is_reported_when_every_message_of_it_is_a_dead_letter(in_batches: Rig) -> None:
    # Given a batch of two partitions with the same offsets, whose answer is too large
    in_batches.put("hold")
    assert Gate.reached.wait(5)
    in_batches.put("large", "b", offset=1)
    in_batches.put("c", partition=1, offset=1)
    # When it is done
    Gate.opened.set()
    # Then each of its messages went to the dead-letter topic once, and both partitions go on
    assert Deadline(10).poll(lambda: not in_batches.thread.busy)
    assert in_batches.values("steps.dead") == [b'"large"', b'"b"', b'"c"']
    assert in_batches.finished[-1].offsets == {0: 3, 1: 2}
    assert in_batches.thread.dead_lettered == 3


def test_a_batch_that_is_halted_before_its_turn_is_left_undone(in_batches: Rig) -> None:
    # Given a batch in work and another one that waits
    in_batches.put("hold")
    assert Gate.reached.wait(5)
    in_batches.put("a", offset=1)
    # When the epoch is halted
    in_batches.thread.halt(0)
    Gate.opened.set()
    # Then what was in work is finished, and nothing else
    assert Deadline(5).poll(lambda: not in_batches.thread.busy)
    assert in_batches.values() == [b"1"]
    assert [part.offsets for part in in_batches.finished] == [{0: 1}]


def test_the_partition_that_has_waited_for_longest_has_its_turn_first() -> None:
    # Given records of three partitions that were fetched at once
    def record(timestamp: int, size: int) -> SimpleNamespace:
        return SimpleNamespace(timestamp=timestamp, serialized_value_size=size)

    fetched = {"p0": [record(30, 1), record(31, 2)], "p1": [record(10, 4)], "p2": [record(20, 8)]}
    # When they become batches
    made = batches(7, fetched)
    # Then they are in the order of their oldest records
    assert [(one.epoch, one.partition, one.size) for one in made] == [(7, "p1", 4), (7, "p2", 8), (7, "p0", 3)]


def test_the_ledger_gives_what_is_due_and_strikes_out_what_was_committed() -> None:
    ledger: OffsetLedger[str] = OffsetLedger()
    ledger.finish("p0", 5)
    ledger.finish("p1", 1)
    ledger.finish("p0", 3)  # a late report takes nothing back
    sent = ledger.due()
    assert sent == {"p0": (5, ""), "p1": (1, "")}
    ledger.finish("p0", 8)
    ledger.committed(sent)
    assert ledger.due() == {"p0": (8, "")}
    ledger.forget()
    assert ledger.due() == {}


def test_the_ledger_keeps_a_newer_note_of_the_same_offset() -> None:
    ledger: OffsetLedger[str] = OffsetLedger()
    ledger.put("p0", Place(5, "one"))
    sent = ledger.due()
    ledger.put("p0", Place(5, "two"))
    ledger.committed(sent)
    assert ledger.due() == {"p0": (5, "two")}
    ledger.committed(ledger.due())
    assert ledger.due() == {}
