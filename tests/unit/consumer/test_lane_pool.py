"""The threads of a topic in lanes: keys side by side, retries, outages, halts, and jobs that kill their process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ops.consumer import App, Controller, Halt, Responder, topic
from ops.consumer.errors import RoutingError
from ops.consumer.lane_pool import LanePool
from ops.consumer.progress import Progress
from ops.consumer.retry import RetryPolicy
from ops.consumer.testing import FakeOutbox, message_of
from ops.consumer.topic_thread import Batch
from ops.core.deadline import Deadline
from ops.core.marks import Marks, decode


class Stage:
    """What the controllers note, and wait at."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.gates: dict[str, threading.Event] = {}
        self.running: list[str] = []
        self.most = 0
        self.done: list[Any] = []
        self.failed: list[str] = []

    def gate(self, name: str) -> threading.Event:
        with self.lock:
            return self.gates.setdefault(name, threading.Event())

    def entered(self, name: str) -> bool:
        with self.lock:
            return name in self.running

    def open_all(self) -> None:
        for gate in list(self.gates.values()):
            gate.set()


class StageController(Controller):
    """`hold` waits at a gate, `fail` raises so often, `say` answers."""

    stage: Stage

    def perform(self) -> None:
        stage, what = self.stage, self.params
        with stage.lock:
            stage.running.append(what.get("hold", what["n"]))
            stage.most = max(stage.most, len(stage.running))
        try:
            if "hold" in what:
                assert stage.gate(what["hold"]).wait(20)
            if what.get("fail", 0) > sum(n == what["n"] for n in stage.failed):
                stage.failed.append(what["n"])
                raise RuntimeError("asked to fail")
            if "say" in what:
                self.respond_with(what["say"])
        finally:
            with stage.lock:
                stage.running.remove(what.get("hold", what["n"]))
        stage.done.append(what["n"])

    def after_failure(self, error: Exception) -> None:
        self.stage.done.append(f"gave up: {type(error).__name__}")


class ScopedController(StageController):
    """Takes its lane from the message, and halts at `halt`."""

    def before_enqueue(self) -> None:
        if self.params.get("halt"):
            raise Halt("asked to")
        self.params["uniqueness_scope"] = self.params["scope"]


class StageResponder(Responder):
    topics = (topic("out", optional=True, multiple_usage=True),)

    def respond(self, data: Any) -> None:
        self.respond_to("out", data)


class Rig:
    """A pool, and what the poll thread does for it; `broker` has what is committed."""

    def __init__(self, controller: type[StageController], retries: int = 3) -> None:
        self.stage = Stage()
        bound: type[Any] = type("BoundController", (controller,), {"stage": self.stage})
        app = App("stage")
        route = app.topic("in", controller=bound, responder=StageResponder, concurrency=4)
        self.outbox = FakeOutbox(max_message_bytes=1000)
        self.pool = LanePool(route, self.outbox, RetryPolicy(retries, 0.02), Progress(), session_seconds=1.0)
        self.pool.start()
        self.broker: dict[Any, tuple[int, str]] = {}
        self.notes: list[Marks | None] = []
        self.next = 0
        self.frozen = self.fenced = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._turn)
        self.pool.load(0, {0: None})
        self._thread.start()

    def _turn(self) -> None:
        while not self._stop.wait(0.002):
            if self.frozen:
                continue
            self.pool.tick()
            opened = self.pool.openable()
            self.commit()
            if opened or self.pool.shut:
                if self.fenced:
                    self.pool.refused()
                else:
                    self.pool.committed(opened)

    def commit(self) -> None:
        places = self.pool.places()
        self.broker |= places
        self.notes += [decode(*place) for place in places.values()]

    def put(self, *items: dict[str, Any], key: str | None = None, keys: Callable[[int], str] | None = None) -> None:
        messages = []
        for n, item in enumerate(items):
            item.setdefault("n", str(self.next))
            lane = keys(n) if keys else key
            messages.append(message_of("in", item, key=lane, offset=self.next))
            self.next += 1
        self.pool.put(Batch(0, 0, messages, 0))

    def until(self, condition: Callable[[], Any]) -> None:
        assert Deadline(10).poll(condition, every=0.002), (self.stage.__dict__, self.broker)

    def committed(self) -> int:
        return self.broker.get(0, (-1, ""))[0]

    def reload(self, epoch: int, marks: Marks | None) -> None:
        """Begin a new assignment with some marks; reading begins there."""
        self.pool.load(epoch, {0: marks})
        self.next = marks.offset if marks else 0

    def close(self) -> None:
        self.stage.open_all()
        self.pool.close()
        self._stop.set()
        self._thread.join(10)
        for worker in self.pool._crew.workers:
            worker.join(10)
            assert not worker.is_alive()
        assert self.pool.failure is None


@pytest.fixture
def rig_of() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(controller: type[StageController] = StageController, **options: Any) -> Rig:
        rigs.append(Rig(controller, **options))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


@pytest.fixture
def rig(rig_of: Callable[..., Rig]) -> Rig:
    return rig_of()


def test_keys_run_side_by_side_and_one_key_in_order(rig: Rig) -> None:
    # Given a key whose first job is held, and another key
    rig.put({"hold": "a0"}, {"n": "a1"}, {"n": "a2"}, key="a")
    rig.put({"n": "b0"}, {"n": "b1"}, key="b")
    # Then the other one goes on, and nothing behind the held job
    rig.until(lambda: rig.stage.done == ["b0", "b1"])
    assert rig.stage.entered("a0")
    rig.until(lambda: (marks := decode(*rig.broker[0])) and marks.finished == ((3, 5),))
    assert rig.committed() == 0
    # When it is let go, its key goes on in order, and everything is committed
    rig.stage.gate("a0").set()
    rig.until(lambda: rig.committed() == 5)
    assert rig.stage.done[2:] == ["0", "a1", "a2"]
    assert (rig.pool.processed, rig.pool.backlog, rig.pool.backlog_bytes, rig.pool.busy) == (5, 0, 0, False)


def test_no_more_jobs_run_at_once_than_asked_for(rig: Rig) -> None:
    rig.put(*({"hold": f"h{n}"} for n in range(6)))
    rig.until(lambda: len(rig.stage.running) == 4)
    assert rig.pool.in_work is not None
    rig.stage.gate("h0").set()
    rig.until(lambda: len(rig.stage.done) == 1 and len(rig.stage.running) == 4)
    for n in range(6):
        rig.stage.gate(f"h{n}").set()
    rig.until(lambda: rig.committed() == 6)
    assert rig.stage.most == 4


def test_a_retry_blocks_its_own_key_alone(rig: Rig) -> None:
    rig.put({"n": "a0", "fail": 2}, {"n": "a1"}, key="a")
    rig.put({"n": "b0"}, key="b")
    rig.until(lambda: rig.committed() == 3)
    assert rig.stage.done == ["b0", "a0", "a1"]
    assert rig.pool.failed == 2
    assert any(marks and marks.tries for marks in rig.notes)  # a crash would not forget the tries


def test_what_keeps_failing_is_given_up_and_its_key_goes_on(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(retries=1)
    rig.put({"n": "a0", "fail": 9}, {"n": "a1"}, key="a")
    rig.until(lambda: rig.committed() == 2)
    assert rig.stage.done == ["gave up: RuntimeError", "a1"]
    (letter,) = rig.outbox.outputs
    headers = dict(letter.headers)
    assert (letter.topic, headers["karafka-attempts"]) == ("stage.dead", b"2")
    assert b"asked to fail" in headers["karafka-traceback"]


def test_a_slow_job_among_quick_ones_holds_back_nothing_but_its_key(rig: Rig) -> None:
    # Given enough quick jobs for many to be taken at once
    rig.put(*({} for _ in range(300)))
    rig.until(lambda: rig.committed() == 300)
    # When a job among others turns out slow
    rig.put(*({} for _ in range(20)), {"hold": "slow"}, *({} for _ in range(200)))
    # Then all others are finished meanwhile
    rig.until(lambda: len(rig.stage.done) == 520)
    rig.until(lambda: (marks := decode(*rig.broker[0])) and marks.finished == ((321, 521),))
    assert rig.committed() == 320
    rig.stage.gate("slow").set()
    rig.until(lambda: rig.committed() == 521)


def test_a_job_is_finished_when_its_messages_have_arrived(rig: Rig) -> None:
    # Given no broker
    rig.outbox.outage = True
    rig.put({"say": "one"}, {"say": "two"}, {"n": "silent"})
    rig.until(lambda: len(rig.stage.done) == 3)
    assert rig.pool.busy
    rig.until(lambda: (marks := decode(*rig.broker[0])) and marks.finished == ((2, 3),))
    assert rig.committed() == 0
    # When it is back, they are sent, and the jobs are finished
    rig.outbox.outage = False
    rig.until(lambda: rig.committed() == 3)
    assert sorted(output.value or b"" for output in rig.outbox.outputs) == [b"one", b"two"]


def test_a_refused_answer_makes_its_job_a_dead_letter(rig: Rig) -> None:
    rig.put({"say": "x" * 2000}, {"say": "small"})
    rig.until(lambda: rig.committed() == 2)
    assert sorted(output.topic for output in rig.outbox.outputs) == ["out", "stage.dead"]
    assert rig.pool.dead_lettered == 1


def test_a_halt_finishes_what_is_in_work_and_the_next_owner_runs_the_rest(rig: Rig) -> None:
    # Given two held jobs, one waiting behind, and a finished one
    rig.put({"hold": "a0"}, {"n": "a1"}, key="a")
    rig.put({"n": "b0"}, key="b")
    rig.put({"hold": "c0"}, key="c")
    rig.until(lambda: len(rig.stage.running) == 2 and rig.stage.done == ["b0"])
    # When halted
    rig.pool.halt(0)
    assert rig.pool.busy
    rig.stage.open_all()
    rig.until(lambda: not rig.pool.busy)
    rig.commit()
    # Then what was in work is done, and the commit tells it, and that nothing was torn away
    marks = decode(*rig.broker[0])
    assert marks is not None
    assert (marks.offset, marks.clean, marks.finished) == (1, True, ((2, 4),))
    # And after it just the rest is run
    rig.stage.done.clear()
    rig.reload(1, marks)
    rig.put({"n": "a1"}, key="a")
    rig.put({"n": "b0"}, key="b")
    rig.put({"n": "c0"}, key="c")
    rig.until(lambda: rig.committed() == 4)
    assert rig.stage.done == ["a1"]


def test_a_key_whose_abandoned_job_still_runs_waits_for_it(rig: Rig) -> None:
    # Given a job that overran its time, and was given up
    rig.put({"hold": "a0"}, key="a")
    rig.until(lambda: rig.stage.entered("a0"))
    rig.pool.halt(0)
    rig.pool.abandon(0)
    # When its partition is ours again
    rig.reload(1, Marks(0))
    rig.put({"n": "again"}, key="a")
    rig.put({"n": "b0"}, key="b")
    # Then it does not run beside itself
    rig.until(lambda: rig.stage.done == ["b0"])
    rig.stage.gate("a0").set()
    rig.until(lambda: rig.committed() == 2)
    assert rig.stage.done == ["b0", "0", "again"]
    assert rig.stage.most == 2


def test_a_job_that_kills_its_process_ends_as_a_dead_letter_and_its_neighbours_do_not(rig: Rig) -> None:
    # Given three jobs in work when the process died, twice, and then the first of them alone
    marks = Marks(0, clean=False, reach=3)
    for death in (1, 2, 3):
        rig.reload(death, marks)
        rig.put({"hold": "bad"}, key="a")
        rig.put({"hold": "good"}, key="b")
        rig.put({"hold": "fine"}, key="c")
        rig.put({"n": "behind"}, key="c")
        # Then they are blamed, and that is committed before any of them runs
        at_once = 3 if death == 1 else 1
        rig.until(lambda most=at_once: len(rig.stage.running) == most)
        assert rig.notes[-1] is not None
        written = decode(*rig.broker[0])
        assert written is not None
        assert written.tries == dict.fromkeys(range(3), (0, min(death, 2))) | {0: (0, death)}
        # And from the second time on they run alone, which is committed as well
        assert written.lone == (None if death == 1 else 0)
        marks = written
        rig.pool.halt(death)
        rig.pool.abandon(death)
        rig.stage.open_all()
        rig.until(lambda: not rig.pool.busy)
        rig.stage.gates.clear()
        rig.stage.done.clear()
    # When the process died once more, the bad one being alone
    rig.reload(4, marks)
    rig.put({"n": "bad"}, key="a")
    rig.put({"n": "good"}, key="b")
    rig.put({"n": "fine"}, key="c")
    rig.put({"n": "behind"}, key="c")
    # Then it is given up unperformed, and the others are done
    rig.until(lambda: rig.committed() == 4)
    assert sorted(rig.stage.done) == ["behind", "fine", "gave up: PoisonError", "good"]
    (letter,) = rig.outbox.outputs
    headers = dict(letter.headers)
    assert headers["karafka-reason"] == b"PoisonError: 4 processes ended while they performed it"
    assert json.loads(letter.value or b"")["n"] == "bad"


def test_a_pool_that_was_frozen_begins_nothing_before_a_commit_is_taken(rig: Rig) -> None:
    # Given a poll loop that stands still for longer than the session, with a job in work and more behind it
    rig.put({"hold": "a0"}, {"n": "a1"}, key="a")
    rig.until(lambda: rig.stage.entered("a0"))
    rig.frozen = True
    time.sleep(1.1)
    rig.stage.gate("a0").set()
    rig.until(lambda: rig.stage.done == ["0"])
    # When it wakes up, and its commits are refused
    rig.fenced, rig.frozen = True, False
    noted = len(rig.notes)
    rig.until(lambda: len(rig.notes) > noted + 3)
    assert rig.stage.done == ["0"]
    # Then the next job is begun once one is taken
    rig.fenced = False
    rig.until(lambda: rig.committed() == 2)
    assert rig.stage.done == ["0", "a1"]


def test_before_enqueue_sets_the_lane_and_may_halt(rig_of: Callable[..., Rig]) -> None:
    rig = rig_of(ScopedController)
    rig.put({"hold": "first", "scope": "s"}, {"n": "second", "scope": "s"}, {"halt": 1, "n": "never"})
    rig.put({"n": "other", "scope": "t"})
    rig.put({"n": "broken"})  # no scope: it fails in its turn, as any other
    rig.until(lambda: "other" in rig.stage.done and "gave up: KeyError" in rig.stage.done)
    rig.stage.gate("first").set()
    rig.until(lambda: rig.committed() == 5)
    assert [name for name in rig.stage.done if name in ("0", "second")] == ["0", "second"]
    assert "never" not in rig.stage.done


@pytest.mark.parametrize(("concurrency", "batch_mode"), [(0, False), (1001, False), (4, True)])
def test_a_route_refuses_lanes_that_cannot_be(concurrency: int, batch_mode: bool) -> None:
    with pytest.raises(RoutingError, match="concurrency"):
        App("x").topic("in", controller=StageController, concurrency=concurrency, batch_mode=batch_mode)
