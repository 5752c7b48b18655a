"""Lanes against a simple model: random keys, failures, revokes, crashes, and recoveries from what was committed."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ops.consumer.lanes import Lanes
from ops.consumer.window import Job, Window
from ops.core.marks import Marks, decode, encode

PARTITIONS = (0, 1)
KEYS = st.one_of(st.none(), st.sampled_from("abcde"))
SLOTS = 4
MOST_DEATHS = 4


class LanesMachine(RuleBasedStateMachine):
    """The log and the truth on one side, one owner's lanes on the other; the broker keeps what was committed."""

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[int, list[tuple[int, Any]]] = {number: [] for number in PARTITIONS}
        self.ends = dict.fromkeys(PARTITIONS, 0)
        self.done: set[tuple[int, int]] = set()  # as far as anybody knows
        self.known: set[tuple[int, int]] = set()  # finished, and a commit tells of it
        self.lone_deaths: dict[tuple[int, int], int] = {}
        self.broker: dict[int, tuple[int, str]] = {}
        self.now = 0.0
        self.begin()

    # -- the parts around the lanes

    def begin(self) -> None:
        self.lanes = Lanes(SLOTS, MOST_DEATHS)
        self.running: list[Job] = []
        self.position = dict.fromkeys(PARTITIONS, 0)
        for number in PARTITIONS:
            marks = None
            if number in self.broker:
                offset, text = self.broker[number]
                marks = decode(offset, text)
                assert marks is not None
                self.position[number] = offset
            self.lanes.load(number, marks)

    @staticmethod
    def place(job: Job) -> tuple[int, int]:
        return job.window.partition, job.offset

    def write(self) -> None:
        for number, window in self.lanes.windows.items():
            marks = self.lanes.marks(number)
            if marks is None:
                continue
            text = encode(marks)
            self.broker[number] = marks.offset, text
            self.check(window, marks)
            self.known |= {(number, at) for at, _ in self.log[number] if (number, at) in self.done}

    def check(self, window: Window, marks: Marks) -> None:
        # Exactly what is finished is told of: no job more, no job less
        told = {at for start, end in marks.finished for at in range(start, end)}
        for at, _ in self.log[window.partition]:
            finished = (window.partition, at) in self.done
            assert (at < marks.offset or at in told) == finished, (at, marks)
        assert marks.offset not in told

    # -- what happens

    @rule(number=st.sampled_from(PARTITIONS), keys=st.lists(KEYS, min_size=1, max_size=6), gap=st.integers(0, 2))
    def produce(self, number: int, keys: list[Any], gap: int) -> None:
        self.ends[number] += gap
        for key in keys:
            key = None if key is None else (number, key)
            self.log[number].append((self.ends[number], key))
            self.ends[number] += 1

    @rule(number=st.sampled_from(PARTITIONS), most=st.integers(1, 6))
    def read(self, number: int, most: int) -> None:
        for at, key in [item for item in self.log[number] if item[0] >= self.position[number]][:most]:
            self.lanes.add(number, at, key, "message")
            self.position[number] = at + 1

    @rule(most=st.integers(1, 3))
    def take(self, most: int) -> None:
        if len(self.running) >= SLOTS:
            return
        for job in self.lanes.take(most, self.now):
            number, at = self.place(job)
            # Never two of a key, never before an earlier one of its key, never what a commit tells to be finished
            assert job.key is None or job.key not in {other.key for other in self.running}
            assert all(
                (number, before) in self.done
                for before, key in self.log[number]
                if key is not None and key == job.key and before < at
            )
            assert (number, at) not in self.known
            # A suspect is alone
            self.running.append(job)
            if any(2 <= one.deaths < MOST_DEATHS for one in self.running):
                assert len(self.running) == 1
            # Only one that died alone is hopeless
            if self.lanes.hopeless(job):
                assert self.lone_deaths.get((number, at), 0) >= 2

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        job = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.done.add(self.place(job))
        self.lanes.finish(job)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), seconds=st.integers(1, 3))
    def fail(self, data: st.DataObject, seconds: int) -> None:
        job = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if job.failures < 3:
            self.lanes.fail(job, self.now + seconds)
        else:
            self.done.add(self.place(job))
            self.lanes.finish(job)

    @precondition(lambda self: self.running)
    @rule()
    def give_back(self) -> None:
        if len(self.running) > 1:  # what runs alone has begun
            job = self.running.pop()
            self.lanes.give_back([job])

    @rule()
    def wait(self) -> None:
        self.now += 1

    @rule(arrives=st.booleans())
    def commit(self, arrives: bool) -> None:
        opened = self.lanes.openable()
        if not arrives and opened:  # blamed, and the process dies before the commit
            self.crash()
            return
        self.write()
        self.lanes.open(opened)
        self.lanes.committed()

    @rule()
    def crash(self) -> None:
        if len(self.running) == 1 and self.running[0].deaths >= 2:
            place = self.place(self.running[0])
            self.lone_deaths[place] = self.lone_deaths.get(place, 0) + 1
        self.done = set(self.known)  # what finished since the last commit is repeated, and nothing else
        self.begin()

    @rule()
    def revoke(self) -> None:
        self.lanes.halt()
        assert self.lanes.take(9, self.now + 100) == []
        while self.running:
            job = self.running.pop()
            self.done.add(self.place(job))
            self.lanes.finish(job)
        self.write()
        self.begin()

    @invariant()
    def never_more_than_a_job_a_key(self) -> None:
        assert self.lanes.running == len(self.running)

    def teardown(self) -> None:
        # In the end everything is done, whatever happened before
        for _ in range(2000):
            for number in PARTITIONS:
                self.read(number, 100)
            opened = self.lanes.openable()
            self.write()
            self.lanes.open(opened)
            self.lanes.committed()
            self.now += 1
            self.take(SLOTS)
            while self.running:
                job = self.running.pop()
                self.done.add(self.place(job))
                self.lanes.finish(job)
            if self.done == {(number, at) for number in PARTITIONS for at, _ in self.log[number]}:
                break
        else:
            raise AssertionError("something is never done")
        self.write()
        assert all(text for _, text in self.broker.values())


LanesMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
test_lanes_do_what_the_model_says = LanesMachine.TestCase


def test_a_suspect_runs_between_two_commits_that_tell_of_it() -> None:
    # Given a partition whose owners died twice with its first job in work, and a job behind it
    lanes = Lanes(SLOTS, MOST_DEATHS)
    lanes.load(0, Marks(0, clean=False, reach=1, tries={0: (0, 1)}))
    for at in (0, 1):
        lanes.add(0, at, f"k{at}", "message")
    opened = lanes.openable()
    assert lanes.marks(0) == Marks(0, clean=False, reach=1, tries={0: (0, 2), 1: (0, 1)})
    lanes.open(opened)
    # When jobs are asked for, then none is given before a commit names the suspect
    assert lanes.take(9, 0.0) == []
    assert lanes.shut
    marks = lanes.marks(0)
    assert marks is not None
    assert marks.lone == 0
    lanes.committed()
    (job,) = lanes.take(9, 0.0)
    assert lanes.take(9, 0.0) == []
    # And when it is done, the next one waits for a commit that names it no more
    lanes.finish(job)
    assert lanes.take(9, 0.0) == []
    assert lanes.marks(0) == Marks(1, clean=False, reach=1, tries={1: (0, 1)})
    lanes.committed()
    assert [other.offset for other in lanes.take(9, 0.0)] == [1]


def test_a_topic_that_was_made_anew_is_read_from_its_beginning() -> None:
    lanes = Lanes(SLOTS, MOST_DEATHS)
    lanes.load(0, Marks(5000, finished=((5002, 5004),)))
    lanes.open(lanes.openable())
    lanes.add(0, 0, None, "message")
    (job,) = lanes.take(9, 0.0)
    lanes.finish(job)
    assert lanes.marks(0) == Marks(1, clean=False, reach=1)
